"""Random memory for results: values of a type, most of them valid, and some of them not."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.lift.layout import cases_of, layout_of, offsets_of
from pytest_airssys_wasm.runtime.wit.types import FlagsType, ListType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from random import Random

    from pytest_airssys_wasm.runtime.wit.types import WitType

_PAGE = 65_536
_MOST_HEAP_BYTES = 3_000


def random_memory(random: Random, type_: WitType, heap_at: int, places: list[int]) -> tuple[bytes, bytes]:
    """Return a value of a type in memory, and the heap into which its pointers point.

    `places` are other places into which they may point.
    """
    wrong, heap = random.choice([0.0, 0.1, 0.3]), bytearray(random.randbytes(16))
    memory = _Memory(random, heap_at, [*places, heap_at], wrong, heap, is_ascii=random.random() < 0.5)
    area = bytearray(random.choice([0, 255, random.getrandbits(8)]) for _ in range(layout_of(type_).size))
    memory.fill(type_, area, 0)
    return bytes(area), bytes(memory.heap)


@dataclass
class _Memory:
    random: Random
    heap_at: int
    places: list[int]
    wrong: float
    """The share of what is wrong."""
    heap: bytearray
    is_ascii: bool

    def fill(self, type_: WitType, area: bytearray, offset: int) -> None:
        """Write a value."""
        random = self.random
        match type_:
            case Primitive("string") | ListType():
                pair = self._hostile_pair(type_) if random.random() < self.wrong else self._pair(type_)
                struct.pack_into("<II", area, offset, *pair)
            case Primitive("char"):
                codes = (
                    [0xD800, 0x110000, 2**32 - 1] if random.random() < self.wrong else [65, 0x10FFFF, 0xD7FF, 0xE000]
                )
                struct.pack_into("<I", area, offset, random.choice(codes))
            case Primitive() | FlagsType():
                size = layout_of(type_).size
                area[offset : offset + size] = random.choice([random.randbytes(size), bytes(size), b"\xff" * size])
            case RecordType(fields):
                for (_, part), at in zip(fields, offsets_of([part for _, part in fields])):
                    self.fill(part, area, offset + at)
            case TupleType(elements):
                for part, at in zip(elements, offsets_of(elements)):
                    self.fill(part, area, offset + at)
            case _:
                cases = cases_of(type_)
                assert cases is not None
                count = len(cases.payloads)
                number = random.randrange(count)
                payload = cases.payloads[number]
                if payload is not None:
                    self.fill(payload, area, offset + cases.offset)
                if random.random() < self.wrong:
                    number = random.choice([count, 255, random.getrandbits(8)])
                area[offset] = min(number, 255)

    def _pair(self, type_: WitType) -> tuple[int, int]:
        """Write the content of a text or list, and return its place and length."""
        count = self.random.choice([0, 1, 2, 3, 3, 7])
        if len(self.heap) > _MOST_HEAP_BYTES:
            return self.heap_at, 0
        if not isinstance(type_, ListType):
            content = self._text()
            self.heap += content
            return self.heap_at + len(self.heap) - len(content), len(content)
        layout = layout_of(type_.element)
        self.heap += bytes(-len(self.heap) % 8)
        at, size = len(self.heap), layout.size * count
        self.heap += bytes([self.random.choice([0, 255])]) * size
        for number in range(count):
            self.fill(type_.element, self.heap, at + number * layout.size)
        return self.heap_at + at, count

    def _text(self) -> bytes:
        random = self.random
        text = "".join(
            random.choice("a\0" if self.is_ascii else "aé€𝄞\0") for _ in range(random.choice([0, 1, 5, 20]))
        ).encode()
        if text and random.random() < self.wrong:
            spoilt = bytearray(text)
            spoilt[random.randrange(len(spoilt))] = random.getrandbits(8)
            return bytes(spoilt)
        return text

    def _hostile_pair(self, type_: WitType) -> tuple[int, int]:
        random = self.random
        if random.random() < 0.2:  # to the end of the memory, or just beyond it
            width = layout_of(type_.element).size if isinstance(type_, ListType) else 1
            length = random.randint(0, 30)
            return _PAGE - length * width + random.choice([0, 0, 1, width]), length
        pointer = random.choice(
            [*self.places, self.heap_at + random.randint(0, 64), _PAGE, 2 * _PAGE, 2 * _PAGE - 1, 2**32 - 8]
        )
        length = random.choice(
            [0, 1, 2, 3, random.randint(0, 40), random.randint(0, 40), 4_000, _PAGE, 2**31, 2**32 - 1]
        )
        return pointer, length
