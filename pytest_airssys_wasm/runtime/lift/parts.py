"""The parts of a result that the guard checks and copies, with what wasmtime charges for lifting the others.

wasmtime bounds what one call may lift. It charges the size of its own values for each element of a list, before it
looks at the elements, and for each element of a tuple and each field of a record, before the first of them; for a field
also its name, before its value; and for a text its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.capi.guard import CHAR, COST, LIFTED_VAL_BYTES, LIST, TEXT, GuardPart
from pytest_airssys_wasm.runtime.lift.layout import layout_of, offsets_of
from pytest_airssys_wasm.runtime.wit.types import ListType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.wit.types import WitType


def parts_of(result: WitType) -> list[GuardPart]:
    """Return the parts of a result of this type."""
    walk = _Walk()
    walk.add(result, 0)
    walk.end()
    return walk.parts


class _Walk:
    """A walk through a type, in the order in which wasmtime lifts its values."""

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
            case ListType(element):
                self._list(element, offset)
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
                pass

    def end(self) -> None:
        """Add what is charged behind the last part."""
        if self._cost:
            self._part(kind=COST)

    def _list(self, element: WitType, offset: int) -> None:
        layout, inner = layout_of(element), parts_of(element)
        only_costs = all(part.kind == COST for part in inner)
        self._part(
            kind=LIST,
            offset=offset,
            size=layout.size,
            alignment=layout.alignment,
            element_cost=sum(part.cost for part in inner) if only_costs else 0,
            inner=0 if only_costs else len(inner),
        )
        if not only_costs:
            self.parts += inner

    def _part(self, **known: int) -> None:
        self.parts.append(GuardPart(cost=self._cost, **known))
        self._cost = 0
