"""The conversions between limits and their representation in the protocol."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, structs

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.budget.units import parse_count, parse_duration_ms, parse_size
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping

UNLIMITED = "unlimited"

_WIRE_NAMES = {"memory": "memory_bytes", "transfer": "transfer_bytes", "output": "output_bytes"}
_FIELDS = [field.name for field in fields(ResourceLimits)]
_OWN_NAMES = {wire_name: name for name, wire_name in _WIRE_NAMES.items()}


def limits_on_wire(limits: Struct) -> dict[str, Any]:
    """Return the fields of a case's limits as plain numbers under the protocol's names.

    An invalid value is not changed, so that the runtime can refuse it.
    """
    return {
        _WIRE_NAMES.get(name, name): _plain(name, value)
        for name, value in structs.asdict(limits).items()
        if value is not UNSET
    }


def plain_limits(limits: ResourceLimits) -> dict[str, Any]:
    """Return limits as plain numbers under the protocol's names."""
    return {
        _WIRE_NAMES.get(field.name, field.name): UNLIMITED if (value := getattr(limits, field.name)) is None else value
        for field in fields(limits)
    }


def limits_from_wire(limits: Mapping[str, Any]) -> ResourceLimits:
    """Return the limits in a request.

    Raises `InvalidConfiguration` for a missing memory limit, an unknown name or a wrong value.
    """
    known = [_WIRE_NAMES.get(name, name) for name in _FIELDS]
    for name in limits:
        if name not in known:
            raise InvalidConfiguration("limits", name, f"one of {', '.join(known)}")
    if "memory_bytes" not in limits:
        raise InvalidConfiguration("limits.memory_bytes", "nothing", "a number of bytes: memory has no default")
    arguments: dict[str, Any] = {
        _OWN_NAMES.get(name, name): None if value == UNLIMITED and name in ("fuel", "timeout_ms") else value
        for name, value in limits.items()
    }
    return ResourceLimits(**arguments)


def _plain(name: str, value: Any) -> Any:
    value = wire.from_toml(value)
    try:
        if name in ("memory", "transfer", "output"):
            return parse_size(value)
        if name == "timeout_ms":
            duration_ms = parse_duration_ms(value)
            return int(duration_ms) if duration_ms == int(duration_ms) else duration_ms
        return parse_count(value, name)
    except InvalidConfiguration:
        return value
