"""How much a value of each type is charged: its size in the canonical ABI, or more where Python needs more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_airssys_wasm.runtime.wit import (
    BorrowType,
    EnumType,
    FlagsType,
    ListType,
    OptionType,
    OwnType,
    Primitive,
    RecordType,
    ResultType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_airssys_wasm.runtime.wit import WitType

_PRIMITIVE_BYTES = {"bool": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s64": 8, "u64": 8, "f64": 8}
_OBJECT_BYTES = 32


class Layout(NamedTuple):
    """Of one type: size and alignment in the canonical ABI, and the most Python objects a value consists of.

    Plain numbers, bools and chars do not count as objects, nor does what lists and strings contain: that is
    charged when its length is known.
    """

    size_bytes: int
    align_bytes: int
    objects: int

    @property
    def charged_bytes(self) -> int:
        """What a value of this type is charged, beside the contents of its lists and strings."""
        return max(self.size_bytes, _OBJECT_BYTES * self.objects)


class Layouts:
    """Works out layouts, each type object once: types that share their parts would take exponential time."""

    def __init__(self) -> None:
        self._known: dict[int, Layout] = {}

    def charged_bytes(self, type_: WitType | None) -> int:
        """What a value of this type is charged; 0 for none."""
        return 0 if type_ is None else self.of(type_).charged_bytes

    def of(self, type_: WitType) -> Layout:
        """The layout of a type. The type must outlive this object."""
        layout = self._known.get(id(type_))
        if layout is None:
            layout = self._known[id(type_)] = self._work_out(type_)
        return layout

    def _work_out(self, type_: WitType) -> Layout:
        if isinstance(type_, Primitive):
            if type_.name == "string":
                return Layout(8, 4, 1)
            size_bytes = _PRIMITIVE_BYTES.get(type_.name, 4)
            return Layout(size_bytes, size_bytes, 0)
        if isinstance(type_, ListType):
            return Layout(8, 4, 1)
        if isinstance(type_, RecordType):
            return self._product([field for _, field in type_.fields])
        if isinstance(type_, TupleType):
            return self._product(type_.elements)
        if isinstance(type_, VariantType):
            return self._sum(len(type_.cases), [payload for _, payload in type_.cases])
        if isinstance(type_, OptionType):
            return self._sum(2, [type_.payload], objects=isinstance(type_.payload, OptionType))
        if isinstance(type_, ResultType):
            return self._sum(2, [type_.ok, type_.err])
        if isinstance(type_, EnumType):
            return self._sum(len(type_.cases), [], objects=0)
        if isinstance(type_, FlagsType):
            count = len(type_.names)
            size_bytes = 1 if count <= 8 else 2 if count <= 16 else 4 * _blocks(count, 32)
            # A set of names takes a place for each.
            return Layout(size_bytes, min(size_bytes, 4), 1 + count)
        if isinstance(type_, (OwnType, BorrowType)):
            return Layout(4, 4, 1)
        return Layout(4, 4, 0)

    def _product(self, fields: Iterable[WitType]) -> Layout:
        size_bytes, align_bytes, objects = 0, 1, 1
        for field in map(self.of, fields):
            size_bytes = _aligned(size_bytes, field.align_bytes) + field.size_bytes
            align_bytes = max(align_bytes, field.align_bytes)
            objects += field.objects
        return Layout(_aligned(size_bytes, align_bytes), align_bytes, objects)

    def _sum(self, cases: int, payloads: Iterable[WitType | None], objects: int = 1) -> Layout:
        tag_bytes = 1 if cases <= 2**8 else 2 if cases <= 2**16 else 4
        present = [self.of(payload) for payload in payloads if payload is not None]
        align_bytes = max([tag_bytes, *(payload.align_bytes for payload in present)])
        size_bytes = _aligned(tag_bytes, align_bytes) + max([0, *(payload.size_bytes for payload in present)])
        objects += max([0, *(payload.objects for payload in present)])
        return Layout(_aligned(size_bytes, align_bytes), align_bytes, objects)


def _aligned(size_bytes: int, align_bytes: int) -> int:
    return _blocks(size_bytes, align_bytes) * align_bytes


def _blocks(size: int, block: int) -> int:
    return -(-size // block)
