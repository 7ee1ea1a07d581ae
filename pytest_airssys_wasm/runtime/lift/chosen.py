"""The cases that Python values choose: of variants, enums, options and results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import Err, Ok, Some
from pytest_airssys_wasm.runtime.convert.accepted import check_enum, check_no_payload, check_variant
from pytest_airssys_wasm.runtime.wit.types import EnumType, OptionType, ResultType, VariantType

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.wit.types import WitType

    Choose = Callable[[Any], tuple[int, Any]]
    """A function that returns the number of the case of a value, and the payload."""


def compile_choice(type_: WitType) -> Choose:
    """Return the function for a type with cases, which raises `TypeError` or `ValueError` for other values."""
    match type_:
        case VariantType(cases):
            return _variant(cases)
        case EnumType(names):
            return _enum(names)
        case OptionType(payload):
            return _nested_option if isinstance(payload, OptionType) else _option
        case ResultType(ok, err):
            return _result(ok is not None, err is not None)
        case _:
            raise TypeError


def _variant(cases: tuple[tuple[str, WitType | None], ...]) -> Choose:
    numbers = {name: (number, payload is not None) for number, (name, payload) in enumerate(cases)}

    def choose(value: Any) -> tuple[int, Any]:
        number, has_payload = check_variant(value, numbers, "")
        if not has_payload:
            check_no_payload(value.payload, "")
        return number, value.payload

    return choose


def _enum(names: tuple[str, ...]) -> Choose:
    numbers = {name: (number, None) for number, name in enumerate(names)}
    return lambda value: check_enum(value, numbers, "")


def _option(value: Any) -> tuple[int, Any]:
    return (0, None) if value is None else (1, value)


def _nested_option(value: Any) -> tuple[int, Any]:
    if value is None:
        return 0, None
    if not isinstance(value, Some):
        raise TypeError
    return 1, value.value


def _result(has_ok: bool, has_err: bool) -> Choose:
    def choose(value: Any) -> tuple[int, Any]:
        if isinstance(value, Ok):
            number, payload, has_payload = 0, value.value, has_ok
        elif isinstance(value, Err):
            number, payload, has_payload = 1, value.error, has_err
        else:
            raise TypeError
        if not has_payload:
            check_no_payload(payload, "")
        return number, payload

    return choose
