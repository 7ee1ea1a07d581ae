"""The resources that a process holds, and whether they grow."""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import threading
import time
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import psutil

from pytest_airssys_wasm.conformance.measure import open_files, resident_mib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.engine import WasmEngine

_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The resources that are held when nothing runs."""

    processes: int
    rss_mib: float
    """The memory of all processes together, without pages that they share with files."""
    threads: int
    files: int
    guests: int
    """Guests and memories that should be gone by now."""


SLACK = {
    # Up to eight parked threads are kept, and eight calls are rarely made there at once.
    "thread": Footprint(processes=0, rss_mib=8.0, threads=8, files=2, guests=0),
    # A process that has served is kept for the next guest, or was one too many: there are a few more or less of them.
    "process": Footprint(processes=4, rss_mib=64.0, threads=8, files=24, guests=0),
}
"""The growth of each figure that is allowed from the warm-up to the end of a soak, measured by a straight line."""


def measure(engine: WasmEngine) -> Footprint:
    """Once all guests that were given up have come back, or should have."""
    until = time.monotonic() + _PATIENCE_S
    while (engine.runs or engine.live_memories) and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later is no leak
    own = psutil.Process()
    processes = [own.pid, *(child.pid for child in own.children(recursive=True))]
    return Footprint(
        processes=len(processes),
        rss_mib=resident_mib(processes),
        threads=threading.active_count(),
        files=open_files([own.pid]),
        guests=len(engine.runs) + engine.live_memories,
    )


def growth(seen: Sequence[Footprint]) -> dict[str, float]:
    """Return the growth of each figure along a straight line through all measurements."""
    return {one.name: _growth([getattr(held, one.name) for held in seen]) for one in fields(Footprint)}


def leaks(seen: Sequence[Footprint], slack: Footprint) -> list[str]:
    """A sentence for each figure that grows by more than the slack."""
    allowed = asdict(slack)
    return [
        f"{name} grew by {grown:.1f}, more than {allowed[name]}"
        for name, grown in growth(seen).items()
        if grown > allowed[name]
    ]


def _growth(values: Sequence[float]) -> float:
    slope, _ = statistics.linear_regression(range(len(values)), values)
    return slope * (len(values) - 1)
