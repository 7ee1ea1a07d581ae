"""The guests that can be run again and again, each time in a fresh store, because they cannot affect the host."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.analysis.errors import CannotRepeat
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.errors import NOTHING, ComponentTrapped, GuestExit, InvalidConfiguration, WasmError
from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
from pytest_airssys_wasm.runtime.host.unmet_imports import WASI_P1, is_wasi
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
from pytest_airssys_wasm.runtime.store.arguments import check_parts
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from pytest_airssys_wasm.runtime.wit.world import full_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions

_MOST_NAMED = 5
_PATIENCE = 10
"""The factor of the timeout for a run that is made again."""


class Rerun(Struct, frozen=True, kw_only=True):
    """The end of one run: what it returned or raised, and what it used."""

    value: Any
    """The returned value; `None` after an error."""
    error: WasmError | None
    """The error with which the run ended; `None` if it returned."""
    usage: Usage | None
    """The usage of the run; `None` if no guest code had started."""
    output: tuple[bytes, bytes]
    """The bytes that the guest wrote to stdout and to stderr."""

    @property
    def verdict(self) -> Verdict:
        """The verdict of the run."""
        return Verdict.OK if self.error is None else self.error.verdict

    @property
    def fuel(self) -> int:
        """The fuel that the run consumed, or a lower bound of it; 0 if no guest code had started."""
        return 0 if self.usage is None else self.usage.fuel.consumed

    @property
    def peak_memory_bytes(self) -> int:
        """The highest total of all memories, in bytes; 0 if no guest code had started."""
        return 0 if self.usage is None else self.usage.peak_memory_bytes

    @property
    def ending(self) -> tuple[Any, ...]:
        """The end as an observer sees it: verdict, trap or status, value and output. Endings can be compared.

        Values are compared by their text, in which a NaN is like another.
        """
        match self.error:
            case ComponentTrapped(kind=kind):
                detail: object = kind
            case GuestExit(code=code):
                detail = code
            case _:
                detail = getattr(self.error, "resource", None)
        return self.verdict, detail, repr(self.value), self.output


class RepeatableGuest:
    """A guest with its limits, host functions and grants, of which it is known that it cannot affect the host.

    `limits` default to those of the guest's manifest, and so do the grants of WASI; a guest without a manifest that
    imports WASI gets an empty one. Raises `CannotRepeat` if the guest could affect the host.
    """

    def __init__(
        self,
        component: Component,
        *,
        limits: ResourceLimits | None,
        host: HostFunctions | None = None,
        wasi: Wasi | None = None,
        engine: EngineCore | None = None,
    ) -> None:
        loaded_by = engine or getattr(component, "loaded_by", None)
        if not isinstance(loaded_by, EngineCore):
            raise TypeError(f"component: expected the result of an engine's load(), got {component!r}")
        manifest = component.manifest
        if limits is None and manifest is None:
            raise InvalidConfiguration("limits", NOTHING, "ResourceLimits, or a Component.toml beside the component")
        limits = manifest.limits() if limits is None and manifest is not None else limits
        check_parts(limits, host, wasi)
        assert limits is not None
        if wasi is None:
            wasi = Wasi() if manifest is None or manifest.wasi is None else manifest.wasi
        obstacle = obstacle_to_repetition(component, host, wasi)
        if obstacle is not None:
            raise obstacle
        self.component = component
        self.limits = limits
        self.runs = 0
        """The number of runs so far."""
        self._engine = loaded_by
        self._host = host
        self.wasi = wasi
        """The grants of WASI."""

    def run(self, export: str, *args: Any, limits: ResourceLimits | None = None) -> Rerun:
        """Instantiate the guest in a fresh store, call an export, and return how that ended.

        Raises the errors of `Instance.call` for a wrong name or wrong arguments, and `LinkError`.
        """
        self.runs += 1
        with LimitedStore(self._engine, limits or self.limits, host=self._host, wasi=self.wasi).as_rerun() as store:
            try:
                done = store.execute(self.component, export, *args)
            except WasmError as error:
                if error.usage is None and error.verdict in _NOT_OF_THE_GUEST:
                    raise
                return Rerun(value=None, error=error, usage=error.usage, output=(error.stdout, error.stderr))
            return Rerun(value=done.value, error=None, usage=done.usage, output=(done.stdout, done.stderr))

    def run_to_its_end(self, export: str, *args: Any, limits: ResourceLimits | None = None) -> Rerun:
        """Run a call as `run` does. If it does not return, fuel will end it.

        A run that reaches the timeout is made again with ten times as much: the machine may have been busy.
        """
        done = self.run(export, *args, limits=limits)
        timeout_ms = (limits or self.limits).timeout_ms
        if done.verdict is Verdict.TIMEOUT and timeout_ms:
            longer = replace(limits or self.limits, timeout_ms=_PATIENCE * timeout_ms)
            return self.run(export, *args, limits=longer)
        return done

    def first(self, export: str, *args: Any) -> Rerun:
        """Run a call of which something is to be learnt. Raises the `WasmError` with which it ends, if it does."""
        done = self.run(export, *args)
        if done.error is not None:
            raise done.error
        return done

    def under(self, **changed: Any) -> ResourceLimits:
        """Return the limits of this guest, with some of them changed."""
        return replace(self.limits, **changed)


_NOT_OF_THE_GUEST = frozenset([Verdict.LINK_ERROR, Verdict.INVALID_CONFIG, Verdict.INVALID_COMPONENT])


def obstacle_to_repetition(component: Component, host: HostFunctions | None, wasi: Wasi | None) -> CannotRepeat | None:
    """Return the reason why calls of a guest cannot be repeated; `None` if they can.

    They can if every import belongs to WASI or is served by something that was registered as repeatable, and if WASI
    grants neither writable folders nor the streams of this process.
    """
    needed = [*component.needed_from_host()]
    foreign = [
        full_name(interface, name)
        for interface, name in needed
        if _is_of_host(interface, name, host, wasi) and not (host is not None and host.is_repeatable(interface, name))
    ]
    if foreign:
        more = f" and {len(foreign) - _MOST_NAMED:,} more" if len(foreign) > _MOST_NAMED else ""
        named = printable(", ".join(foreign[:_MOST_NAMED]))
        return CannotRepeat(
            f"{component!r} imports {named}{more}: calls of host functions are repeated only if these are registered "
            "with repeatable=True",
            tuple(foreign),
        )
    used = [full_name(interface, name) for interface, name in needed if is_of_wasi(interface)]
    grant = None if wasi is None or not used else _unsafe_grant(wasi)
    if grant is not None:
        return CannotRepeat(f"{component!r} imports {printable(used[0])}, and {grant}", tuple(used))
    return None


def is_of_wasi(interface: str) -> bool:
    """Return whether an import from this interface or module belongs to WASI."""
    return interface == WASI_P1 or is_wasi(interface.partition("#")[0])


def _is_of_host(interface: str, name: str, host: HostFunctions | None, wasi: Wasi | None) -> bool:
    """Return whether an import is served by a host function, or not at all, rather than by WASI."""
    return not is_of_wasi(interface) or (wasi is None and host is not None and host.find(interface, name) is not None)


def _unsafe_grant(wasi: Wasi) -> str | None:
    if wasi.inherit:
        return "wasi.inherit grants it the streams of this process: repeated calls would read and write them"
    for guest, (_, access) in wasi.preopen.items():
        if access == "rw":
            return f"wasi.preopen grants it the folder {printable(repr(guest))} for writing"
    return None


class Deadline:
    """The end of a search that may take `time_s` seconds; `None` means that it may take as long as it needs.

    Raises `InvalidConfiguration` for anything but a positive number.
    """

    def __init__(self, time_s: float | None) -> None:
        if time_s is not None and not (
            isinstance(time_s, (int, float)) and not isinstance(time_s, bool) and 0 < time_s < math.inf
        ):
            raise InvalidConfiguration("time_s", time_s, "a positive number of seconds, or None")
        self._ends_at = None if time_s is None else monotonic() + time_s

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.left_ms <= 0

    @property
    def left_ms(self) -> float:
        """The milliseconds that are left; infinite if the search may take as long as it needs."""
        return math.inf if self._ends_at is None else (self._ends_at - monotonic()) * 1_000


def check_call(component: Component, export: str, args: Sequence[Any]) -> None:
    """Raise the errors of `Instance.call` for a wrong name or a wrong number of arguments."""
    component.check_call(export, len(args))
