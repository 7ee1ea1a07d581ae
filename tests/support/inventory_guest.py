"""The guest that a C compiler built: its interfaces, and an item for its shelves."""

from __future__ import annotations

from pytest_airssys_wasm.runtime.base.values import Record, Variant
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

LIMITS = ResourceLimits(memory="4 MiB", fuel=None, timeout_ms=60_000)
ECHO, STOCK, BROKEN = (f"demo:inventory/{name}@1.0.0" for name in ("echo", "stock", "broken"))
ITEM = dict(
    sku="", from_=None, price=0.0, load=0.0, quantity=0, delta=0, serial=0, mark="x", handling=(), is_open=True,
    condition=Variant("fresh"), size=Record(width=0, height=0, weight=None), tags=[], image=b"", reorder=None,
    class_="piece",
)  # fmt: skip
