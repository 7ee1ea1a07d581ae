"""The arguments of a given size: which sizes the parameters of an export have, and values of them."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.analysis.errors import NoLaw
from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.base.values import Ok, Variant
from pytest_airssys_wasm.runtime.guest.wit_component import WitExport
from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    EnumType,
    FlagsType,
    FutureType,
    ListType,
    OptionType,
    OwnType,
    Primitive,
    RecordType,
    ResultType,
    StreamType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.wit.types import WitType

NAMES = ("n", "m")
"""The names of the sizes of a law, which has at most two."""
HELD = 3
"""The value of a size that a law does not speak of."""
_MOST_SCALARS = 2**12
"""The largest number of scalar values in one argument, since Python converts each of them."""
_MOST_OF_INTEGERS = {f"{sign}{bits}": 2 ** (bits - (sign != "u")) - 1 for sign in "siu" for bits in (8, 16, 32, 64)}


class Size(Struct, frozen=True, kw_only=True):
    """One size of the arguments of an export."""

    meaning: str
    """The things that are counted, such as `bytes of text`; empty for a size that the caller has named."""
    high: int
    """The largest value."""
    is_content: bool = True
    """Whether it is the size of something, and not the value of an integer."""


class Arguments(Struct, frozen=True, kw_only=True):
    """The arguments of an export for all of its sizes."""

    names: tuple[str, ...]
    """The names of the sizes that are varied, in their order."""
    sizes: tuple[Size, ...]
    make: Callable[[Sequence[int]], tuple[Any, ...]]
    """Return the arguments for values of all sizes, in their order."""


def arguments_of(component: Component, export: str, max_size: int) -> Arguments:
    """Return the sizes of an export, and arguments for them.

    Texts are made of the letter x, and elements of lists are equal. Raises `NoLaw` for a type without values that could
    be made, and `UnknownExport`.
    """
    types = component.parameter_types(export)
    found = component.check_call(export, len(types))
    if isinstance(found, WitExport):
        names = [printable(name) for name, _ in found.type.params]
        plans = [_plan(type_, name, max_size) for type_, name in zip(types, names)]
        for plan, type_ in zip(plans, types):
            if isinstance(type_, Primitive) and type_.name in _MOST_OF_INTEGERS:
                plan.sizes.append(_integer(type_.name, names[plans.index(plan)], max_size))
                plan.build = next
    else:
        plans = []
        for index, type_ in enumerate(types):
            is_integer = type_ in _MOST_OF_INTEGERS
            sizes = [_integer(type_, f"argument {index}", max_size)] if is_integer else []
            plans.append(_Plan(sizes, next if is_integer else lambda _: 1.0))
    every = tuple(size for plan in plans for size in plan.sizes)

    def make(sizes: Sequence[int]) -> tuple[Any, ...]:
        values = iter(sizes)
        return tuple(plan.build(values) for plan in plans)

    return Arguments(names=NAMES, sizes=every, make=make)


def arguments_by(make: Callable[..., Sequence[Any]], max_size: int) -> Arguments:
    """Return the arguments that a function of the caller makes of one or two sizes, which its parameters name.

    Raises `TypeError` for a function with another number of parameters.
    """
    parameters = [*signature(make).parameters.values()]
    if not 1 <= len(parameters) <= len(NAMES) or any(
        one.kind not in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.POSITIONAL_ONLY) for one in parameters
    ):
        raise TypeError("arguments: expected a function of one or two sizes that returns a tuple of arguments")
    sizes = tuple(Size(meaning="", high=max_size) for _ in parameters)

    def made(values: Sequence[int]) -> tuple[Any, ...]:
        arguments = make(*values)
        if not isinstance(arguments, (tuple, list)):
            raise TypeError(f"arguments: expected a tuple of arguments, got {type(arguments).__name__}")
        return tuple(arguments)

    return Arguments(names=tuple(one.name for one in parameters), sizes=sizes, make=made)


class _Plan(Struct, eq=False):
    """How a value of a type is made: its sizes, and a function that takes them from an iterator."""

    sizes: list[Size]
    build: Callable[[Iterator[int]], Any]
    scalars: int = 1
    """The number of scalar values in it, apart from its sizes."""


def _integer(name: str, of: str, max_size: int) -> Size:
    return Size(meaning=f"value of {of}", high=min(max_size, _MOST_OF_INTEGERS[name]), is_content=False)


def _fixed(value: Any) -> _Plan:
    return _Plan([], lambda _: value)


def _plan(type_: WitType, of: str, max_size: int) -> _Plan:
    match type_:
        case Primitive("string"):
            return _Plan([Size(meaning=f"bytes of {of}", high=max_size)], lambda sizes: "x" * next(sizes), HELD)
        case Primitive("char"):
            return _fixed("x")
        case Primitive("bool"):
            return _fixed(False)
        case Primitive(name):
            return _fixed(1.0 if name in ("f32", "f64") else 1)
        case ListType(element):
            return _list(element, of, max_size)
        case TupleType(elements):
            parts = [_plan(one, f"{of}.{index}", max_size) for index, one in enumerate(elements)]
            return _Plan(*_together(parts), _scalars(parts))
        case RecordType(fields):
            parts = [_plan(one, f"{of}.{printable(name)}", max_size) for name, one in fields]
            sizes, build = _together(parts)
            names = [name for name, _ in fields]
            return _Plan(sizes, lambda values: dict(zip(names, build(values))), _scalars(parts))
        case VariantType(cases):
            name, payload = cases[0]
            part = _fixed(None) if payload is None else _plan(payload, f"{of}.{printable(name)}", max_size)
            return _Plan(part.sizes, lambda values: Variant(name, part.build(values)), part.scalars)
        case EnumType(names_):
            return _fixed(names_[0])
        case FlagsType():
            return _fixed(frozenset())
        case OptionType():
            return _fixed(None)
        case ResultType(ok, _):
            part = _fixed(None) if ok is None else _plan(ok, of, max_size)
            return _Plan(part.sizes, lambda values: Ok(part.build(values)), part.scalars)
        case OwnType() | BorrowType() | FutureType() | StreamType():
            raise NoLaw(f"values of type {type_} cannot be made for a call: say which with arguments=")
        case _:
            assert_never(type_)


def _together(parts: list[_Plan]) -> tuple[list[Size], Callable[[Iterator[int]], tuple[Any, ...]]]:
    return [size for part in parts for size in part.sizes], lambda values: tuple(part.build(values) for part in parts)


def _scalars(parts: list[_Plan]) -> int:
    return sum(part.scalars for part in parts) or 1


def _list(element: WitType, of: str, max_size: int) -> _Plan:
    part = _plan(element, f"each element of {of}", max_size)
    high = min(max_size, _MOST_SCALARS // part.scalars)
    inner = [Size(meaning=one.meaning, high=min(one.high, _MOST_SCALARS // HELD)) for one in part.sizes]
    size = Size(meaning=f"elements of {of}", high=high)
    if element == Primitive("u8"):
        return _Plan([size], lambda sizes: b"\x01" * next(sizes), HELD)

    def build(sizes: Iterator[int]) -> list[Any]:
        count = next(sizes)
        return [part.build(sizes)] * count

    return _Plan([size, *inner], build, HELD * part.scalars)
