"""The handles of resources inside WIT types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.wit.types import BorrowType, OwnType, children

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.runtime.wit.types import ResourceType


def has_handle(type_: Any) -> bool:
    """Return whether a WIT type, or a core type given by its name, contains a handle."""
    return any(True for _ in handles_in(type_))


def handles_in(type_: Any) -> Iterator[ResourceType]:
    """Yield the resources whose handles a WIT type contains; none for a core type, given by its name."""
    if isinstance(type_, (OwnType, BorrowType)):
        yield type_.resource
    elif not isinstance(type_, str):
        for inner in children(type_):
            yield from handles_in(inner)
