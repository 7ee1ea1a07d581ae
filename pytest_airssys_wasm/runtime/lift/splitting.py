"""The splitting of many records or tuples in the arguments into columns of numbers, for `struct`."""

from __future__ import annotations

from functools import partial
from itertools import chain
from math import isnan
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.convert.accepted import check_tuple, record_checker
from pytest_airssys_wasm.runtime.wit.types import EnumType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.wit.types import WitType

    Texts = list[list[bytes]]
    """The columns of texts."""
    Split = Callable[[Sequence[Any], Texts], Iterable[Iterable[Any]]]
    """A function that returns the columns of numbers of some values, and appends their columns of texts."""

_CLASSES = {"f32": float, "f64": float, "bool": bool, "char": str}


def compile_splitter(type_: WitType) -> Callable[[Sequence[Any], list[Any], Transfer], Iterable[Iterable[Any]]] | None:
    """Return the function that splits values of a type; `None` for types that have to be packed one by one.

    It takes at least one value, the list to which it appends the contents of their texts, and the transfer account. It
    raises some error for values that have to go the general way.
    """
    split = _splitter(type_)
    if split is None:
        return None

    def split_all(values: Sequence[Any], contents: list[Any], transfer: Transfer) -> Iterable[Iterable[Any]]:
        texts: Texts = []
        columns = split(values, texts)
        if texts:
            transfer.charge(sum(sum(map(len, column)) for column in texts))
            contents += texts[0] if len(texts) == 1 else chain.from_iterable(zip(*texts))
        return columns

    return split_all


def _splitter(type_: WitType) -> Split | None:
    match type_:
        case Primitive("string"):
            return _texts
        case Primitive(name):
            return partial(_numbers, name, _CLASSES.get(name, int))
        case EnumType(names):
            return partial(_enums, {name: number for number, name in enumerate(names)})
        case RecordType(fields):
            return _parts(record_checker(type_), [part for _, part in fields])
        case TupleType(elements):
            return _parts(partial(check_tuple, type_=type_), [*elements])
        case _:
            return None


def _check_classes(values: Iterable[Any], class_: type) -> None:
    if set(map(type, values)) != {class_}:
        raise TypeError


def _texts(values: Sequence[Any], texts: Texts) -> Iterable[Iterable[Any]]:
    _check_classes(values, str)
    encoded = list(map(str.encode, values))
    texts.append(encoded)
    return [[0] * len(encoded), map(len, encoded)]


def _numbers(name: str, class_: type, values: Sequence[Any], _texts: Texts) -> Iterable[Iterable[Any]]:
    _check_classes(values, class_)
    # `struct` makes a signalling NaN quiet, and of NaNs each sum is one.
    if name == "f32" and isnan(sum(values)):
        raise TypeError
    if name != "char":
        return [values]
    codes = list(map(ord, values))
    if any(0xD800 <= code <= 0xDFFF for code in set(codes)):
        raise TypeError
    return [codes]


def _enums(numbers: dict[str, int], values: Sequence[Any], _texts: Texts) -> Iterable[Iterable[Any]]:
    _check_classes(values, str)
    return [[numbers[value] for value in values]]


def _parts(check: Callable[[Any], Sequence[Any]], parts: list[WitType]) -> Split | None:
    splits = [_splitter(part) for part in parts]
    known = [split for split in splits if split is not None]
    if len(known) < len(splits):
        return None

    def split_parts(values: Sequence[Any], texts: Texts) -> Iterable[Iterable[Any]]:
        columns = zip(*map(check, values))
        return [column for split, part in zip(known, columns) for column in split(part, texts)]

    return split_parts
