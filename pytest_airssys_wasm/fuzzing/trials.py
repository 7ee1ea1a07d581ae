"""The trials of fuzzing: one call in a fresh instance, and the judgement of its end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.fuzzing.pasteable import as_json
from pytest_airssys_wasm.protocol.values import decode
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.errors import ComponentTrapped, OutOfMemory, UnfitHost, WasmError
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from pytest_airssys_wasm.runtime.wave import write_call, write_value
from pytest_airssys_wasm.validation.misfits import misfit_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

_LATE_SHARE = 0.5
"""The share of its timeout that a guest must have had of a processor for its timeout to count."""
_TRIES = 3


class Guest(Struct, frozen=True, kw_only=True):
    """A guest with all that its instances need."""

    engine: WasmEngine
    component: Component
    limits: ResourceLimits
    host: HostFunctions | None = None
    wasi: Wasi | None = None

    def new_store(self, limits: ResourceLimits | None = None) -> LimitedStore:
        """Return a new store under the limits of the guest, or under others."""
        return LimitedStore(self.engine, limits or self.limits, host=self.host, wasi=self.wasi)


class Trial(Struct, frozen=True, kw_only=True):
    """The end of one call in a fresh instance."""

    error: WasmError | None
    value: Any
    """The result as JSON, with all bits of its floats; `None` if the call did not return."""
    misfit: str | None
    """The description of a value that does not fit the type of the result; `None` if it fits."""
    usage: Usage | None
    """The usage of the call, or of the instantiation if that failed."""
    was_called: bool
    """Whether the instantiation succeeded."""

    @property
    def verdict(self) -> Verdict:
        """The verdict, `ok` if the call returned."""
        return Verdict.OK if self.error is None else self.error.verdict

    @property
    def kinds(self) -> tuple[str, ...]:
        """The words for this end in `[fuzz.allow]`: the verdict, and the kind of a trap."""
        trap = self.error.__cause__ if isinstance(self.error, OutOfMemory) else self.error
        if isinstance(trap, ComponentTrapped) and self.verdict is Verdict.TRAP:
            return str(self.verdict), f"{self.verdict}:{trap.kind}"
        return (str(self.verdict),)

    @property
    def words(self) -> str:
        """The end in the words of a message, without the value."""
        kinds = self.kinds
        return f"{kinds[0]} ({kinds[1].partition(':')[2]})" if len(kinds) > 1 else kinds[0]

    @property
    def ending(self) -> str:
        """The clause of a message about a call that did not return: `ended with trap (unreachable)`."""
        if self.verdict is not Verdict.HOST_ERROR:
            return f"ended with {self.words}"
        # The frames of the guest show neither which host function failed, nor why.
        return f"ended with {self.words}: {printable(str(self.error).partition(chr(10))[0])}"


class Finding(Struct, frozen=True, kw_only=True):
    """A fault that a call has shown."""

    kind: str
    """The kind of the fault: a verdict, `trap:<kind>`, `misfit`, `differs`, `overrun` or `growth`."""
    sentence: str
    """The clause that follows the call in a message: `ended with trap (unreachable)`."""
    error: WasmError | None = None
    """The error with which the call ended, if it did."""
    repetitions: int = 1
    """The number of times that the calls were made in one instance before the fault was seen."""


def try_call(guest: Guest, export: str, args: Sequence[Any], limits: ResourceLimits | None = None) -> Trial:
    """Call an export in a fresh instance, as two executions. Raises `UnfitHost`, which says nothing about the guest."""
    error, value, misfit, was_called = None, None, None, False
    with guest.new_store(limits) as store:
        try:
            instance = store.instantiate(guest.component)
            was_called = True
            result = instance.call(export, *args)
        except UnfitHost:
            raise
        except WasmError as raised:
            error = raised
        else:
            value, misfit = as_json(result), _misfit(guest.component, export, result)
        return Trial(error=error, value=value, misfit=misfit, usage=store.usage, was_called=was_called)


def try_execution(guest: Guest, export: str, args: Sequence[Any]) -> Trial:
    """Instantiate and call as one execution, with one budget and one deadline, which takes less time than
    `try_call`. The trial does not have the value.
    """
    error, misfit, usage = None, None, None
    try:
        done = guest.engine.execute(
            guest.component, export, *args, limits=guest.limits, host=guest.host, wasi=guest.wasi
        )
    except UnfitHost:
        raise
    except WasmError as raised:
        error, usage = raised, raised.usage
    else:
        usage, misfit = done.usage, _misfit(guest.component, export, done.value)
    return Trial(error=error, value=None, misfit=misfit, usage=usage, was_called=True)


def _misfit(component: Component, export: str, result: Any) -> str | None:
    types = component.result_types(export) if component.kind == "component" else ()
    return misfit_of(result, types) if types else None


def probe(guest: Guest, export: str, args: Sequence[Any], allowed: Collection[str], needed: set[str]) -> Finding | None:
    """Call an export in one fresh instance, and return the fault that this shows, if any; otherwise as `judge`."""
    trial = try_call(guest, export, args)
    if trial.verdict is not Verdict.OK:
        accepted = [kind for kind in trial.kinds if kind in allowed]
        if not accepted:
            return judge(guest, export, args, allowed, needed)
        needed.update(accepted)
    return _alone(guest, export, trial)


def judge(guest: Guest, export: str, args: Sequence[Any], allowed: Collection[str], needed: set[str]) -> Finding | None:
    """Call an export twice, each time in a fresh instance, and return the fault that this shows, if any.

    `allowed` has the kinds of ends that are right; those that occur are added to `needed`.
    """
    first = try_call(guest, export, args)
    if first.verdict is Verdict.TIMEOUT and not _is_slow(guest, export, args, first):
        return None  # the machine was busy
    if first.verdict is not Verdict.OK:
        accepted = [kind for kind in first.kinds if kind in allowed]
        if not accepted:
            return _ended(first)
        needed.update(accepted)
    found = _alone(guest, export, first)
    if found is not None or first.verdict is Verdict.TIMEOUT:
        return found
    again = try_call(guest, export, args)
    if again.verdict is Verdict.TIMEOUT:
        return None
    return _difference(guest, export, first, again)


def _is_slow(guest: Guest, export: str, args: Sequence[Any], trial: Trial) -> bool:
    """Return whether a guest reaches its timeout again and again, although it has a processor."""
    for _ in range(_TRIES):
        usage, timeout_ms = trial.usage, guest.limits.timeout_ms
        if trial.verdict is not Verdict.TIMEOUT or usage is None or timeout_ms is None:
            return False
        if usage.cpu_ms is not None and usage.cpu_ms < timeout_ms * _LATE_SHARE and not usage.host_calls:
            return False
        trial = try_call(guest, export, args)
    return trial.verdict is Verdict.TIMEOUT


def _ended(trial: Trial) -> Finding:
    before = "" if trial.was_called else "could not be called: instantiation "
    return Finding(kind=trial.kinds[-1], sentence=f"{before}{trial.ending}", error=trial.error)


def _alone(guest: Guest, export: str, trial: Trial) -> Finding | None:
    """Return the fault that one trial shows without a comparison."""
    if trial.misfit is not None:
        (type_,) = guest.component.result_types(export)
        return Finding(kind="misfit", sentence=f"returned a value that is not {type_}: {trial.misfit}")
    usage, limits = trial.usage, guest.limits
    if usage is None:
        return None
    if usage.peak_memory_bytes > limits.memory:
        over = f"{usage.peak_memory_bytes:,} bytes of memory, the limit is {limits.memory:,}"
        return Finding(kind="overrun", sentence=f"used {over}")
    if limits.fuel is not None and usage.fuel.consumed > limits.fuel:
        return Finding(kind="overrun", sentence=f"used {usage.fuel.consumed:,} fuel, the limit is {limits.fuel:,}")
    return None


def _difference(guest: Guest, export: str, first: Trial, again: Trial) -> Finding | None:
    another = "and in another fresh instance"
    if first.kinds != again.kinds:
        return _differs(f"ended with {first.words}, {another} with {again.words}")
    if first.value != again.value:
        texts = [result_text(guest.component, export, trial.value) for trial in (first, again)]
        return _differs(f"returned {texts[0]}, {another} {texts[1]}")
    if first.usage and again.usage and first.usage.fuel.consumed != again.usage.fuel.consumed:
        return _differs(f"used {first.usage.fuel.consumed:,} fuel, {another} {again.usage.fuel.consumed:,}")
    return None


def _differs(sentence: str) -> Finding:
    return Finding(kind="differs", sentence=sentence)


def result_text(component: Component, export: str, encoded: Any) -> str:
    """Return an encoded result in WAVE, for messages."""
    types = component.result_types(export)
    if not types:
        return "nothing"
    if len(types) == 1:
        return write_value(decode(encoded, types[0]), types[0], most_characters=200)
    return str(encoded)[:200]


def call_text(component: Component, export: str, args: Sequence[Any]) -> str:
    """Return a call in WAVE, for messages."""
    return write_call(export, args, component.parameter_types(export))


@contextmanager
def unrecorded(engine: WasmEngine) -> Iterator[None]:
    """Keep the executions in the block out of reports, of which there are thousands."""
    watch, engine.on_execution = engine.on_execution, None
    try:
        yield
    finally:
        engine.on_execution = watch
