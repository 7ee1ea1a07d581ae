"""A guest that was instrumented, and the runs that are made of it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.base.probes import ProbeFile
from pytest_airssys_wasm.runtime.base.regular_files import write_new
from pytest_airssys_wasm.runtime.binary.probes import MOST_CODE_BYTES, CannotInstrument, instrument
from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder, explained
from pytest_airssys_wasm.runtime.engine import ProbedEngine
from pytest_airssys_wasm.runtime.errors import WasmError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.analysis.histories import History, Step
    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.engine import WasmEngine

_FACTOR, _COUNTING_FACTOR, _ADDEND = 8, 20, 1_000
"""What a probed guest may take for a unit of fuel, with probes that do not count and that do, and beyond that. Every
block has an instruction that takes fuel, or is the last one of a call, which takes some; so with probes of 3 units the
factor is at most 7, and with 9 units 19.
"""
_MOST_CHARACTERS = 300
_ROOM_MEMORIES = 10_000
"""The number of memories that a store may have for probes."""


class ProbedRun(Struct, frozen=True, kw_only=True):
    """The steps of a history as they ended with probes."""

    done: Sequence[Rerun]
    found: bytes
    """A byte for each probe: 1 if it was reached."""
    passed: int
    """The number of probes that were passed, of a build that counts them."""


class ProbedBuild:
    """A guest that was instrumented, with the engine and the file of its probes.

    Raises `CannotInstrument`, whose message says why.
    """

    def __init__(
        self, binary: bytes, engine: WasmEngine, *, is_counting: bool, most_code_bytes: int = MOST_CODE_BYTES
    ) -> None:
        made = instrument(binary, is_counting=is_counting, most_code_bytes=most_code_bytes)
        self.functions = made.functions
        self.probes = made.probes
        self._factor = _COUNTING_FACTOR if is_counting else _FACTOR
        self._count_offset = made.count_offset
        self._memory_bytes = made.memory_bytes
        with ExitStack() as made_so_far:
            path = made_so_far.enter_context(ScratchFolder("probes")) / "probes"
            with explained():
                write_new(path, bytes(made.memory_bytes))
                self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                made_so_far.callback(os.close, self._file)
                probes = ProbeFile(
                    path=str(path), memory_bytes=made.memory_bytes, most_memory_bytes=made.most_memory_bytes
                )
                self.engine = ProbedEngine(probes, engine.cache, isolation=engine.isolation)
            made_so_far.callback(self.engine.close)
            try:
                self.component = self.engine.load(made.binary)
            except WasmError as error:
                reason = printable(" ".join(str(error).split()))[:_MOST_CHARACTERS]
                raise CannotInstrument(f"with probes it cannot be loaded: {reason}") from None
            self.close = made_so_far.pop_all().close
            """A function that removes the file of the probes, and ends the engine."""

    def limits(self, limits: ResourceLimits) -> ResourceLimits:
        """Return limits under which the guest with probes gets at least as far as the original under `limits`."""
        fuel = limits.fuel if limits.fuel is None else min(self._factor * limits.fuel + _ADDEND, MAX_U64)
        return replace(limits, fuel=fuel, memories=limits.memories + _ROOM_MEMORIES)

    def clear(self) -> None:
        """Forget what was reached."""
        os.pwrite(self._file, bytes(self._memory_bytes), 0)

    def reached(self) -> bytes:
        """Return a byte for each probe: 1 if it was reached since the last `run` of a history began, or ever."""
        return os.pread(self._file, self.probes, 0)

    def run(self, history: History, steps: Sequence[Step], budget: int | None = None) -> ProbedRun:
        """Execute steps of a history with probes.

        With a budget, all of them share it; otherwise each has more than it needs to get as far as in the test.
        """
        known = history.repetition
        assert known is not None
        limits = self.limits(replace(history.limits, fuel=max(step.fuel for step in steps)))
        if budget is not None:
            limits = replace(limits, fuel=min(budget, MAX_U64))
        probed = structs.replace(
            history,
            component=self.component,
            limits=limits,
            repetition=structs.replace(known, engine=self.engine, component=self.component),
            is_shared_budget=budget is not None,
            steps=[*steps],
        )
        self.clear()
        done = [*probed.replay()]
        content = os.pread(self._file, self._memory_bytes, 0)
        passed = int.from_bytes(content[self._count_offset : self._count_offset + 8], "little")
        return ProbedRun(done=done, found=content[: self.probes], passed=passed)
