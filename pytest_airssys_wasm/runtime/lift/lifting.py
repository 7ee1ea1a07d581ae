"""The lifting of results that the guard has copied out of the memory of a guest.

Values are made and charged as `convert.lifting` does, from the layout of the Canonical ABI instead of C values. The
copies of texts and lists lie behind that of the result, and their places are offsets from its address.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from math import isnan
from struct import Struct
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.floats import f32_of
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Some, Variant, field_name, make_record
from pytest_airssys_wasm.runtime.capi.vals import BYTES, MEMORY, PAYLOAD
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift, lift_text
from pytest_airssys_wasm.runtime.convert.transfer import NUMBERS, fixed_size
from pytest_airssys_wasm.runtime.lift.columns import MAKERS, ROW_CODES, compile_columns
from pytest_airssys_wasm.runtime.lift.layout import cases_of, layout_of, only_part
from pytest_airssys_wasm.runtime.lift.rows import row_struct
from pytest_airssys_wasm.runtime.wit.types import (
    EnumType,
    FlagsType,
    ListType,
    OptionType,
    Primitive,
    RecordType,
    ResultType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.lift.layout import Signature
    from pytest_airssys_wasm.runtime.wit.types import WitType

    Numbers = Iterator[Any]
    """The numbers of a row, and the bytes of the payloads of its variants."""
    Build = Callable[[Numbers, int, Transfer], Any]
    """A converter: `(numbers, address of the copies, transfer) -> Python value`. It takes the numbers that it needs."""

_ADDRESS = Struct("<Q")
_U32 = Struct("<I")
_BATCH = 4_096


def compile_result(signature: Signature) -> Callable[[int, Transfer], Any] | None:
    """Return the converter of a result at an address; `None` for a function without one."""
    result = signature.result
    if result is None:
        return None
    if not signature.is_pointer:
        return _compile_single(result)
    read, build = row_struct(result, ROW_CODES).unpack_from, _builder(result)

    def lift_copied(results: int, transfer: Transfer) -> Any:
        (copies,) = _ADDRESS.unpack_from(MEMORY, results)
        return build(iter(read(MEMORY, copies)), copies, transfer)

    return lift_copied


def _compile_single(result: WitType) -> Callable[[int, Transfer], Any]:
    """Return the converter of a result that is one core value."""
    part, build = only_part(result), _builder(result, is_single=True)
    if isinstance(part, Primitive):
        lift = compile_lift(part)
    else:
        # A number of a case that the guard has checked, or flags, of which the other bits mean nothing.
        def lift(results: int, _transfer: Transfer) -> Any:
            return _U32.unpack_from(MEMORY, results + PAYLOAD)[0]

    return lambda results, transfer: build(iter((lift(results, transfer),)), 0, transfer)


def _builder(type_: WitType, *, is_single: bool = False) -> Build:
    """Return the converter of the values of a type; with `is_single`, its only number is a Python value already."""
    match type_:
        case Primitive("string"):
            return _text
        case Primitive(name):
            make = None if is_single else MAKERS.get(name)
            if make is None:
                return lambda numbers, copies, transfer: next(numbers)
            return lambda numbers, copies, transfer: make(next(numbers))
        case ListType(element):
            return _list(element)
        case RecordType(fields) if all(_is_number(part) for _, part in fields):
            attributes = [field_name(name) for name, _ in fields]
            return lambda numbers, copies, transfer: make_record(dict(zip(attributes, numbers)))
        case RecordType(fields):
            named = [(field_name(name), _builder(part, is_single=is_single)) for name, part in fields]
            return lambda numbers, copies, transfer: make_record(
                {name: build(numbers, copies, transfer) for name, build in named}
            )
        case TupleType(elements):
            builds = [_builder(part, is_single=is_single) for part in elements]
            return lambda numbers, copies, transfer: tuple([build(numbers, copies, transfer) for build in builds])
        case EnumType(names):
            return lambda numbers, copies, transfer: names[next(numbers)]
        case FlagsType(names):
            return _flags(names)
        case VariantType(cases):
            return _cases(type_, [partial(Variant, name) for name, _ in cases])
        case OptionType(payload):
            nests = isinstance(payload, OptionType)
            return _cases(type_, [_nothing, Some if nests else _itself])
        case ResultType():
            return _cases(type_, [Ok, Err])
        case _:
            raise TypeError


def _is_number(type_: WitType) -> bool:
    """Return whether a number of this type in a row is its Python value."""
    return isinstance(type_, Primitive) and type_.name in NUMBERS and type_.name not in MAKERS


def _nothing() -> None:
    return None


def _itself(value: Any) -> Any:
    return value


def _text(numbers: Numbers, copies: int, transfer: Transfer) -> str:
    data = copies + next(numbers)
    return lift_text(data, next(numbers), transfer)


def _flags(names: tuple[str, ...]) -> Build:
    bits = [(1 << number, name) for number, name in enumerate(names)]

    def build(numbers: Numbers, _copies: int, _transfer: Transfer) -> frozenset[str]:
        found = next(numbers)
        return frozenset([name for bit, name in bits if found & bit])

    return build


def _cases(type_: WitType, makers: list[Callable[..., Any]]) -> Build:
    """Return the converter of a type with cases; each maker takes the payload of its case, if there is one."""
    cases = cases_of(type_)
    assert cases is not None
    inside = [
        (make, None, None) if payload is None else (make, row_struct(payload, ROW_CODES).unpack_from, _builder(payload))
        for make, payload in zip(makers, cases.payloads)
    ]
    has_payloads = any(payload is not None for payload in cases.payloads)

    def build(numbers: Numbers, copies: int, transfer: Transfer) -> Any:
        make, read, build_payload = inside[next(numbers)]
        content = next(numbers) if has_payloads else b""
        if read is None or build_payload is None:
            return make()
        return make(build_payload(iter(read(content)), copies, transfer))

    return build


def _list(element: WitType) -> Build:
    cost = max(1, fixed_size(element))
    lift_all = (
        _all_numbers(element.name) if isinstance(element, Primitive) and element.name in ROW_CODES else _rows(element)
    )

    def build(numbers: Numbers, copies: int, transfer: Transfer) -> Any:
        data = copies + next(numbers)
        count = next(numbers)
        transfer.charge(count * cost)
        return lift_all(data, count, copies, transfer)

    return build


def _all_numbers(name: str) -> Callable[[int, int, int, Transfer], Any]:
    """Return the converter of whole lists of numbers, bools or chars."""
    if name == "u8":
        return lambda data, count, copies, transfer: bytes(BYTES[data : data + count])
    if name == "bool":
        return lambda data, count, copies, transfer: list(map(bool, BYTES[data : data + count]))
    code = "I" if name == "char" else NUMBERS[name]
    width = Struct(f"<{code}").size

    def numbers(data: int, count: int, _copies: int, _transfer: Transfer) -> list[Any]:
        view: Any = BYTES[data : data + width * count].cast(code)  # type: ignore[call-overload]  # a format code
        values: list[Any] = view.tolist()
        if name == "f32" and isnan(sum(values)):  # of NaNs each sum is one; `tolist` has made signalling ones quiet
            return [f32_of(one) for one in view.cast("B").cast("I").tolist()]
        return values

    if name == "char":
        return lambda data, count, copies, transfer: list(map(chr, numbers(data, count, copies, transfer)))
    return numbers


def _rows(element: WitType) -> Callable[[int, int, int, Transfer], list[Any]]:
    """Return the converter of all other lists."""
    size, row, build = layout_of(element).size, row_struct(element, ROW_CODES), _builder(element)
    build_columns = compile_columns(element)

    def rows(data: int, count: int, copies: int, transfer: Transfer) -> list[Any]:
        values: list[Any] = []
        found = row.iter_unpack(BYTES[data : data + size * count])
        for _ in range(0, count, _BATCH):
            transfer.check()
            batch = list(islice(found, _BATCH))
            together = None if build_columns is None else build_columns(batch, copies, transfer)
            if together is None:
                together = [build(iter(numbers), copies, transfer) for numbers in batch]
            values += together
        return values

    return rows
