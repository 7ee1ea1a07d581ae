"""The constants of a loaded guest, from its binary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.regular_files import GUEST_BYTES, read_regular
from pytest_airssys_wasm.runtime.binary.compared_sizes import compared_sizes
from pytest_airssys_wasm.runtime.binary.constants import NO_CONSTANTS, Constants, harvest_constants
from pytest_airssys_wasm.runtime.binary.formats import to_binary
from pytest_airssys_wasm.runtime.errors import InvalidComponent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.runtime.guest.component import Component


def constants_of(component: Component) -> Constants:
    """Return the constants in the binary of a guest; none if its file has gone."""
    content = _binary_of(component)
    return NO_CONSTANTS if content is None else harvest_constants(content)


def special_sizes(component: Component, export: str, low: int, high: int) -> Iterator[int]:
    """Yield sizes at which an export may behave differently, likeliest first; none if the file of the guest has gone.

    They are numbers from `low` to `high` that its code compares with something.
    """
    content = _binary_of(component)
    return iter(()) if content is None else compared_sizes(content, export, low, high)


def _binary_of(component: Component) -> bytes | None:
    content = component.binary
    try:
        if content is None and component.path is not None:
            _, content = to_binary(read_regular(component.path, GUEST_BYTES), component.name)
    except (OSError, InvalidComponent):
        return None
    return content
