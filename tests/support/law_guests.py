"""Real guests whose costs have laws, and fresh points at which laws are tried."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm import ResourceLimits, Wasi

if TYPE_CHECKING:
    from pytest_airssys_wasm import WasmEngine
    from pytest_airssys_wasm.analysis import CostLaw
    from pytest_airssys_wasm.runtime.guest.component import Component

LIMITS = ResourceLimits(memory="32 MiB", fuel=50_000_000, timeout_ms=20_000)
GUESTS: dict[str, tuple[str, str, Any]] = {
    "text": ("fixtures/guests/text-transform/text-transform.wasm", "transform", None),
    "assemblyscript": ("fixtures/guests/as-transform/as-transform.wasm", "transform", None),
    "words": ("fixtures/guests/word-count/word-count.wasm", "count", None),
    "frequencies": ("fixtures/guests/word-count/word-count.wasm", "frequencies", None),
    "average": ("fixtures/guests/word-count/word-count.wasm", "average", None),
    "recursion": ("fixtures/guests/word-count/word-count.wasm", "descend", None),
    "inventory": ("fixtures/guests/inventory/inventory.wasm", "demo:inventory/echo@1.0.0#blob", None),
    "strings": ("fixtures/guests/inventory/inventory.wasm", "demo:inventory/echo@1.0.0#echo-strings", None),
    "labels": ("fixtures/guests/inventory/inventory.wasm", "demo:inventory/stock@1.0.0#pair", None),
    "invoice": ("examples/rust/invoice.wasm", "total-of", None),
    "blanks": ("examples/c/json-minify.wasm", "minify", lambda n: ("[" + " " * n + "]",)),
    "digits": ("examples/c/json-minify.wasm", "minify", lambda n: ("[" + ",".join("1" * n) + "]",)),
    "columns": ("examples/assemblyscript/sparkline.wasm", "draw", lambda n: ([1.0, 2.0, 3.0], n)),
    "route": ("tests/fuzzing/guests/parcels/parcels.wasm", "route", None),
    "squeeze": ("tests/fuzzing/guests/parcels/parcels.wasm", "squeeze", None),
    "remember": ("tests/fuzzing/guests/parcels/parcels.wasm", "remember", None),
    "note": ("tests/fuzzing/guests/notes/notes.wasm", "push", None),
    "price": ("tests/fuzzing/guests/orders/orders.wasm", "price", None),
}
"""Exports of guests in C, Rust and AssemblyScript: the path, the name, and the function that makes arguments; `None` if
they are made by their types.
"""


def mismatches(engine: WasmEngine, guest: Component, export: str, law: CostLaw, points: int) -> list[dict[str, int]]:
    """Call an export with random sizes, and return those at which it does not cost what its law says."""
    chance = random.Random(repr(law.text))
    wasi = Wasi() if "wasi:" in str(guest.imports) else None  # with it each execution takes twice the time
    found = []
    for _ in range(points):
        sizes = {name: chance.randint(low, high) for name, (low, high) in law.ranges.items()}
        usage = engine.execute(guest, export, *law.arguments(sizes), limits=LIMITS, wasi=wasi).usage
        memory = usage.peak_memory_bytes if law.memory_text is None else law.peak_memory_bytes(sizes)
        if (usage.fuel.consumed, usage.peak_memory_bytes) != (law.fuel(sizes), memory):
            found.append(sizes)
    return found
