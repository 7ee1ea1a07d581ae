"""The coverage of a guest as a listing of its code, with one line for each block, and as LCOV that refers to it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.reporting.formatting import cut
from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.runtime.binary.instruction_text import instruction_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_airssys_wasm.runtime.binary.coverage import Coverage, CoveredFunction

MOST_DESCRIBED = 100_000
"""The number of blocks whose instructions are listed; of others only their position is."""
_MOST_INSTRUCTIONS = 12
_MOST_TEXT = 160
_MOST_NAME = 160
_NUMBER = re.compile(r"\d+,")


class ListedBlock(Struct, frozen=True, kw_only=True):
    """A block of a function, as it is listed."""

    offset: int
    """The byte offset in the guest at which it begins."""
    text: str
    """Its first instructions, and how many more there are; empty if they are not listed."""
    is_reached: bool
    source: tuple[str, int] | None = None
    """The file and the line of the source at which it begins; `None` if they are not known."""

    @property
    def place(self) -> str:
        """The file and the line in one printable line; empty if they are not known."""
        return "" if self.source is None else printable(f"{self.source[0]}:{self.source[1]}")


class ListedFunction(Struct, frozen=True, kw_only=True):
    """A function of a guest, as it is listed."""

    name: str
    """The name, which no other function of the guest has: some have their index behind it."""
    place: str
    """The module and the bytes of the function."""
    blocks: tuple[ListedBlock, ...]

    @property
    def reached(self) -> int:
        """The number of its blocks that were reached."""
        return sum(block.is_reached for block in self.blocks)

    @property
    def missed(self) -> tuple[ListedBlock, ...]:
        """The blocks that were not reached."""
        return tuple(block for block in self.blocks if not block.is_reached)


def list_functions(
    coverage: Coverage, binary: bytes, lines: Mapping[int, tuple[str, int]] | None = None
) -> tuple[ListedFunction, ...]:
    """Return the functions of a guest with the text of their blocks, in the order of the binary.

    `lines` has the file and the line of the source at which blocks begin, by their offsets.
    """
    names: dict[int, dict[int, str]] = {}
    for one in coverage.functions:
        names.setdefault(one.module, {})[one.index] = one.name
    count = Counter(cut(one.name, _MOST_NAME) for one in coverage.functions)
    has_modules = len(names) > 1
    listed, left = [], MOST_DESCRIBED
    for one in coverage.functions:
        left -= len(one.blocks)
        module = f"module {one.module}" + (f" {one.module_name}" if one.module_name else "")
        mark = f" #{f'{one.module}.' if has_modules else ''}{one.index}" if count[cut(one.name, _MOST_NAME)] > 1 else ""
        listed.append(
            ListedFunction(
                name=cut(one.name, _MOST_NAME) + mark,
                place=f"{cut(module, _MOST_NAME)}, bytes 0x{one.offset:x} to 0x{one.end:x}",
                blocks=tuple(_blocks(one, memoryview(binary) if left >= 0 else None, names[one.module], lines or {})),
            )
        )
    return tuple(listed)


def _blocks(
    function: CoveredFunction,
    binary: memoryview | None,
    names: Mapping[int, str],
    lines: Mapping[int, tuple[str, int]],
) -> Iterator[ListedBlock]:
    ends = (*function.blocks[1:], function.end)
    for offset, end in zip(function.blocks, ends):
        text = ""
        if binary is not None:
            texts, count = instruction_texts(binary, offset, end, names=names, most=_MOST_INSTRUCTIONS)
            more = f"; and {counted(count - len(texts), 'more instruction')}" if count > len(texts) else ""
            text = cut("; ".join(texts), _MOST_TEXT) + more
        yield ListedBlock(
            offset=offset,
            text=printable(text),
            is_reached=offset in function.reached,
            source=lines.get(offset),
        )


def listing(guest: str, functions: tuple[ListedFunction, ...]) -> str:
    """Return the listing of a guest: a line for each function, and one for each of its blocks."""
    lines = [f";; {guest}: each line is a block, with the byte at which it begins in the guest."]
    for function in functions:
        lines += ["", f"func {function.name}  ;; {function.place}"]
        lines += [
            f"  0x{block.offset:06x}  {block.text}{f'  ;; {block.place}' if block.source else ''}".rstrip()
            for block in function.blocks
        ]
    return "".join(f"{line}\n" for line in lines)


def lcov(source: str, functions: tuple[ListedFunction, ...]) -> str:
    """Return the coverage as LCOV, whose lines are those of the `listing` in the file `source`.

    A line counts 1 if it was reached, and 0 if not; the line of a function counts like its first block.
    """
    names, counts, lines = [], [], []
    at = 1
    for function in functions:
        at += 2
        count = int(function.reached > 0)
        # A number and a comma would be taken for the line of its end.
        name = f"_{function.name}" if _NUMBER.match(function.name) else function.name
        names.append(f"FN:{at},{name}")
        counts.append(f"FNDA:{count},{name}")
        lines.append(f"DA:{at},{count}")
        lines += [f"DA:{at + number},{int(block.is_reached)}" for number, block in enumerate(function.blocks, start=1)]
        at += len(function.blocks)
    return _record(source, names, counts, lines)


def source_lcov(functions: tuple[ListedFunction, ...]) -> str:
    """Return the coverage of the source as LCOV: of the lines at which blocks begin. Empty if no line is known.

    A line counts 1 if any block that begins there was reached. Lines in the middle of blocks are left out.
    """
    names: dict[str, dict[str, tuple[int, int]]] = {}
    lines: dict[str, dict[int, int]] = {}
    for function in functions:
        for number, block in enumerate(function.blocks):
            if block.source is None:
                continue
            file, line = block.source
            known = lines.setdefault(file, {})
            known[line] = max(known.get(line, 0), int(block.is_reached))
            if number == 0:
                name = f"_{function.name}" if _NUMBER.match(function.name) else function.name
                names.setdefault(file, {})[name] = line, int(function.reached > 0)
    return "".join(
        _record(
            printable(file),
            [f"FN:{line},{name}" for name, (line, _) in names.get(file, {}).items()],
            [f"FNDA:{count},{name}" for name, (_, count) in names.get(file, {}).items()],
            [f"DA:{line},{count}" for line, count in sorted(counts.items())],
        )
        for file, counts in sorted(lines.items())
    )


def _record(source: str, names: list[str], counts: list[str], lines: list[str]) -> str:
    text = [
        "TN:",
        f"SF:{source}",
        *names,
        *counts,
        f"FNF:{len(names)}",
        f"FNH:{sum(count.startswith('FNDA:1,') for count in counts)}",
        *lines,
        f"LF:{len(lines)}",
        f"LH:{sum(line.endswith(',1') for line in lines)}",
        "end_of_record",
    ]
    return "".join(f"{line}\n" for line in text)
