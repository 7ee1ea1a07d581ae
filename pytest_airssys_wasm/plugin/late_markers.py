"""The refusal of markers that are added to a test too late: after the fixtures on which they act were set up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.plugin.markers import Written
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

_ACTS_ON = {
    "_wasm_source": frozenset({"component"}),
    "wasm_limits": frozenset({"component", "fuel", "memory", "timeout_ms", "wasm_limits"}),
    "limited_store": frozenset({"component", "fuel", "memory", "timeout_ms", "wasm_limits", "wasi"}),
}
"""The markers that each fixture has read when it is set up. `fuel_snapshot` is read after the test."""


def refuse_late_markers(request: pytest.FixtureRequest) -> None:
    """Refuse, until the fixture is torn down, further markers that act on it.

    Adding one with `request.node.add_marker` or `request.applymarker` raises `InvalidConfiguration`: the test would
    pass or fail under other limits than it says.
    """
    item, fixture = request.node, request.fixturename
    assert fixture is not None
    add, wanted = item.add_marker, _ACTS_ON[fixture]
    # An attribute of this item hides the method. Several fixtures that do this wrap each other's attributes.
    item.add_marker = _refusing(item, add, wanted, fixture)

    def allow() -> None:
        vars(item).pop("add_marker", None)

    request.addfinalizer(allow)


def _refusing(item: pytest.Item, add: Callable[..., None], names: frozenset[str], fixture: str) -> Callable[..., None]:
    place = "component" if fixture == "_wasm_source" else fixture

    def add_marker(marker: str | pytest.MarkDecorator, append: bool = True) -> None:
        name = marker if isinstance(marker, str) else getattr(marker, "name", "")
        if name in names:
            text = f"@pytest.mark.{name}" if isinstance(marker, str) else f"@pytest.mark.{Written(marker.mark)!r}"
            raise InvalidConfiguration(
                f"{item.nodeid}: marker {name}",
                _Late(text),
                "a marker on the test, its class or module, or one that an autouse fixture adds before the fixture "
                f"{place} is set up",
            )
        add(marker, append)

    return add_marker


class _Late:
    """A marker that was added too late, with a repr for the message."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"{self._text}, which was added later and would have no effect"
