"""The parts of values in the memory of a guest, for the guard: what it checks, charges and copies in a result, and what
it stores in the elements of a list.

wasmtime bounds what one call may lift. It charges the size of its own values for each element of a list, before it
looks at the elements, for each element of a tuple and each field of a record, before the first of them, and for the
payload of a variant, option or result, before it. It charges the name of a field before its value, that of a case
behind its payload, and those of the flags that are set; for a text it charges its bytes.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi.guard import (
    CASE,
    CHAR,
    COST,
    FLAGS,
    LIFTED_VAL_BYTES,
    LIST,
    STORED,
    TEXT,
    VARIANT,
    GuardPart,
)
from pytest_airssys_wasm.runtime.lift.layout import DISCRIMINANT_BYTES, cases_of, layout_of, offsets_of
from pytest_airssys_wasm.runtime.wit.types import (
    EnumType,
    FlagsType,
    ListType,
    Primitive,
    RecordType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_airssys_wasm.runtime.wit.types import WitType


def parts_of(result: WitType) -> list[GuardPart]:
    """Return the parts of a result of this type."""
    walk = _Results()
    walk.add(result, 0)
    return walk.end()


@lru_cache(maxsize=4_096)
def part_of_argument(type_: WitType) -> Any:
    """Return a C array with the part of a text or list in the arguments, and all parts inside of it."""
    walk = _Arguments()
    walk.add(type_, 0)
    return (GuardPart * len(walk.parts))(*walk.parts)


class _Results:
    """A walk through the type of a result, in the order in which wasmtime lifts its values."""

    def __init__(self) -> None:
        self.parts: list[GuardPart] = []
        self._cost = 0

    def add(self, type_: WitType, offset: int) -> None:
        """Add what is at an offset."""
        match type_:
            case Primitive("string"):
                self._part(kind=TEXT, offset=offset, size=1, alignment=1)
            case Primitive("char"):
                self._part(kind=CHAR, offset=offset)
            case Primitive():
                pass
            case ListType(element):
                self._list(element, offset)
            case FlagsType(names):
                self._part(kind=FLAGS, offset=offset, size=layout_of(type_).size, count=len(names), inner=len(names))
                self.parts += [GuardPart(kind=COST, cost=len(name.encode())) for name in names]
            case RecordType(fields):
                self._cost += LIFTED_VAL_BYTES * len(fields)
                for (name, part), at in zip(fields, offsets_of([part for _, part in fields])):
                    self._cost += len(name.encode())
                    self.add(part, offset + at)
            case TupleType(elements):
                self._cost += LIFTED_VAL_BYTES * len(elements)
                for part, at in zip(elements, offsets_of(elements)):
                    self.add(part, offset + at)
            case _:
                self._cases(type_, offset)

    def end(self) -> list[GuardPart]:
        """Return the parts, with one for what is charged behind the last of them."""
        if self._cost:
            self._part(kind=COST)
        return self.parts

    def _list(self, element: WitType, offset: int) -> None:
        layout, inner = layout_of(element), parts_of(element)
        only_costs = all(part.kind == COST for part in inner)
        self._part(
            kind=LIST,
            offset=offset,
            size=layout.size,
            alignment=layout.alignment,
            count=layout.has_pointers,
            element_cost=sum(part.cost for part in inner) if only_costs else 0,
            inner=0 if only_costs else len(inner),
        )
        if not only_costs:
            self.parts += inner

    def _cases(self, type_: WitType, offset: int) -> None:
        cases, inside = cases_of(type_), []
        assert cases is not None
        for payload, name in zip(cases.payloads, _charged_names(type_)):
            walk = _Results()
            if payload is not None:
                walk._cost = LIFTED_VAL_BYTES
                walk.add(payload, offset + cases.offset)
            walk._cost += len(name.encode())
            inside.append(walk.end())
        self._part(**_variant(offset, inside))
        self.parts += _with_cases(inside)

    def _part(self, **known: int) -> None:
        self.parts.append(GuardPart(cost=self._cost, **known))
        self._cost = 0


def _charged_names(type_: WitType) -> Iterable[str]:
    """Return the names of the cases of an enum or variant; those of options and results are not charged."""
    match type_:
        case EnumType(names):
            return names
        case VariantType(cases):
            return [name for name, _ in cases]
    return repeat("")


def _variant(offset: int, inside: list[list[GuardPart]]) -> dict[str, int]:
    """Return the fields of the part of a variant at an offset, with the parts inside each of its cases."""
    return {
        "kind": VARIANT,
        "offset": offset,
        "size": DISCRIMINANT_BYTES,
        "count": len(inside),
        "inner": len(inside) + sum(map(len, inside)),
    }


def _with_cases(inside: list[list[GuardPart]]) -> list[GuardPart]:
    """Return what follows the part of a variant: one part for each case, and then the parts inside of them."""
    found, at = [], 1 + len(inside)
    for parts in inside:
        found.append(GuardPart(kind=CASE, offset=at, inner=len(parts)))
        at += len(parts)
    return found + [part for parts in inside for part in parts]


class _Arguments:
    """A walk through the type of an argument in memory, in the order in which wasmtime stores its values."""

    def __init__(self) -> None:
        self.parts: list[GuardPart] = []
        self._last: GuardPart | None = None
        """The last part, if it can become longer: one inside another part cannot."""

    def add(self, type_: WitType, offset: int) -> None:
        """Add what is at an offset."""
        layout = layout_of(type_)
        if layout.is_dense:
            self._store(offset, layout.size)
            return
        match type_:
            case Primitive():
                self._put([GuardPart(kind=TEXT, offset=offset, size=1, alignment=1)])
            case ListType(element):
                self._list(element, offset)
            case RecordType(fields):
                for (_, part), at in zip(fields, offsets_of([part for _, part in fields])):
                    self.add(part, offset + at)
            case TupleType(elements):
                for part, at in zip(elements, offsets_of(elements)):
                    self.add(part, offset + at)
            case _:
                self._cases(type_, offset)

    def _store(self, offset: int, size: int) -> None:
        """Add bytes that are stored as they are, together with those just before them."""
        last = self._last
        if last is not None and last.offset + last.size == offset:
            last.size += size
        else:
            self._last = GuardPart(kind=STORED, offset=offset, size=size)
            self.parts.append(self._last)

    def _list(self, element: WitType, offset: int) -> None:
        layout, walk = layout_of(element), _Arguments()
        if not layout.is_dense:
            walk.add(element, 0)
        inner = walk.parts
        part = GuardPart(kind=LIST, offset=offset, size=layout.size, alignment=layout.alignment, inner=len(inner))
        self._put([part, *inner])

    def _cases(self, type_: WitType, offset: int) -> None:
        cases, inside = cases_of(type_), []
        assert cases is not None
        for payload in cases.payloads:
            walk = _Arguments()
            if payload is not None:
                walk.add(payload, offset + cases.offset)
            inside.append(walk.parts)
        self._put([GuardPart(**_variant(offset, inside)), *_with_cases(inside)])

    def _put(self, parts: list[GuardPart]) -> None:
        self.parts += parts
        self._last = None
