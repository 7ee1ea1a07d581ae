"""Ways in which a process that runs guests can end, and what the caller gets: `python tests/support/deaths.py`."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_airssys_wasm import HostFunctions, ProcessIsolation, ResourceLimits, RuntimeDied, WasmEngine, WasmError

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = ResourceLimits(memory="64 MiB", fuel=None, timeout_ms=2_000, transfer="64 MiB")
ISOLATION = ProcessIsolation(memory_bytes="96 MiB", grace_ms=300)

GUEST = """(component
  (import "strike" (func $strike))
  (core func $lowered (canon lower (func $strike)))
  (core module $m (import "env" "strike" (func $strike)) (memory (export "memory") 512)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
    (func (export "call") call $strike)
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "much") (param i32) (result i32)
      (i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (local.get 0)) i32.const 0))
  (core instance $i (instantiate $m (with "env" (instance (export "strike" (func $lowered))))))
  (func (export "call") (canon lift (core func $i "call")))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add")))
  (func (export "much") (param "bytes" u32) (result (list u8)) (canon lift (core func $i "much")
    (memory (core memory $i "memory")))))"""


@dataclass(frozen=True)
class Death:
    """One way to end."""

    name: str
    reason: str
    """The reason of the `RuntimeDied` that the caller gets."""
    function: str = "call"
    args: tuple[int, ...] = ()
    strike: Callable[[int], None] = lambda _process_id: None
    """Called in the middle of the execution, with the number of the process."""


def by(number: int) -> Callable[[int], None]:
    """Send this signal until the process is gone, for half a second.

    Where it was sent and not caused, wasmtime's handler lets the first one pass; and two that are close are one.
    """

    def strike(process_id: int) -> None:
        with suppress(ProcessLookupError):
            for _ in range(10):
                os.kill(process_id, number)
                time.sleep(0.05)

    return strike


DEATHS = (
    Death("abort", "signal", strike=by(signal.SIGABRT)),
    Death("segmentation fault", "signal", strike=by(signal.SIGSEGV)),
    Death("kill, as the system's out-of-memory killer does", "signal", strike=by(signal.SIGKILL)),
    Death("illegal instruction", "signal", strike=by(signal.SIGILL)),
    Death("more memory than it may have: 96 MiB, for a list of 2 MiB", "memory", function="much", args=(2 * 2**20,)),
    Death("hang: it is stopped, and answers no more", "silence", strike=by(signal.SIGSTOP)),
)


def processes(engine: WasmEngine) -> list[int]:
    """The numbers of the processes that an engine has now."""
    return [one.process_id for one in engine.backends._pool._all if not one.is_over]


def host_that_strikes(engine: WasmEngine, death: Death) -> HostFunctions:
    """A host function that ends the process of the guest that calls it."""
    host = HostFunctions()
    host.register("strike", lambda: [death.strike(one) for one in processes(engine)][:0] or None)
    return host


def main() -> None:
    """Print the table."""
    engine = WasmEngine(isolation=ISOLATION)
    guest = engine.load(GUEST)
    print("| the process | the caller gets | message | after | the next execution |")
    print("|---|---|---|---|---|")
    for death in DEATHS:
        host = host_that_strikes(engine, death)
        assert engine.execute(guest, "add", 1, 2, limits=LIMITS, host=host).value == 3
        started = time.perf_counter()
        try:
            engine.execute(guest, death.function, *death.args, limits=LIMITS, host=host)
        except WasmError as error:
            ended_ms = (time.perf_counter() - started) * 1_000
            kind = f"{type(error).__name__}, `{error.reason}`" if isinstance(error, RuntimeDied) else repr(error)
            text = str(error).partition(";")[0].removeprefix("the guest's process: ")
        else:
            raise AssertionError(death.name)
        value = engine.execute(guest, "add", 1, 2, limits=LIMITS, host=host).value
        print(f"| {death.name} | {kind} | {text} | {ended_ms:,.0f} ms | {'works' if value == 3 else value} |")
    engine.close()


if __name__ == "__main__":
    sys.exit(main())
