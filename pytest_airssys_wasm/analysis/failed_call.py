"""The call that ended with an error, ready to be made again under other limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.analysis.errors import CannotRepeat
from pytest_airssys_wasm.analysis.repeatable import Rerun, obstacle_to_repetition
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.errors import UnfitHost, WasmError
from pytest_airssys_wasm.runtime.guest.resources import Resource
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.store.repetition import repetition_of
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class FirstHostCall(Exception):
    """The error of a re-run that would have called a host function that is not repeatable; `args` has its name."""


def first_host_call(done: Rerun) -> str | None:
    """Return the name of the host function before whose first call a re-run was ended; `None` if none was called."""
    cause = None if done.error is None else done.error.__cause__
    return str(cause.args[0]) if isinstance(cause, FirstHostCall) else None


def _stopping(imports: Sequence[str]) -> HostFunctions:
    """Return host functions that end the guest when it calls one of them."""
    host = HostFunctions()
    for name in imports:

        def stop(*_: object, name: str = name) -> None:
            raise FirstHostCall(name)

        host.register(name, stop, repeatable=True)
    return host


_SHARED_FUEL = "it shared a fuel budget with other calls, so that its own limit is not known"


class FailedCall:
    """The first call in its store, which ended with an error, and its repetition.

    Raises `CannotRepeat` if the error is a copy, if no guest code had started, if the guest could affect the host, or
    if earlier calls in the same store cannot be repeated.

    With `until_host` a guest that had not called the host yet is accepted, too. Instead of host functions that are not
    repeatable it is given functions that end it with `FirstHostCall`.
    """

    def __init__(
        self,
        error: WasmError,
        *,
        host: HostFunctions | None = None,
        wasi: Wasi | None = None,
        until_host: bool = False,
    ) -> None:
        call = error.call
        if call is None:
            raise CannotRepeat(f"there is no call to repeat: no guest code had started ({error})")
        repetition = repetition_of(call)
        if repetition is None:
            raise CannotRepeat("the error is a copy: only the original one knows the guest of its call")
        host, wasi = host or repetition.host, wasi or repetition.wasi
        obstacle = obstacle_to_repetition(repetition.component, host, wasi)
        if obstacle is not None and until_host and _has_not_called_host(error):
            stopping = (host or HostFunctions()).merged(_stopping(obstacle.imports))
            if not any(repetition.component.unmet_imports(stopping, wasi)):
                host = stopping
                obstacle = obstacle_to_repetition(repetition.component, host, wasi)
        obstacle = obstacle or _own_obstacle(error)
        if obstacle is not None:
            raise obstacle
        self.limits = repetition.limits
        """The limits under which the call failed."""
        self.runs = 0
        """The number of runs so far."""
        self._is_second = call.nth == 1
        self._repetition = repetition
        self._host = host
        self._wasi = wasi

    def needed_from_host(self) -> Iterable[tuple[str, str]]:
        """Return the interfaces and names of the imports of the guest."""
        return self._repetition.component.needed_from_host()

    def run(self, limits: ResourceLimits) -> Rerun:
        """Make the call again in a fresh store, and return how it ended.

        Raises `UnfitHost` if the machine lacks what the run needs, which says nothing about the call.
        """
        self.runs += 1
        repetition = self._repetition
        component, function, args = repetition.component, repetition.function, repetition.args
        with LimitedStore(repetition.engine, limits, host=self._host, wasi=self._wasi).as_rerun() as store:
            value: Any = None
            error = None
            try:
                if function is None:
                    store.instantiate(component)
                elif self._is_second:
                    value = store.instantiate(component).call(function, *args)
                else:
                    value = store.execute(component, function, *args).value
            except UnfitHost:
                raise
            except WasmError as failure:
                error = failure
            usage = store.usage if error is None else error.usage
            return Rerun(value=value, error=error, usage=usage, output=(store.stdout, store.stderr))


def _has_not_called_host(error: WasmError) -> bool:
    """Return whether a call ended before its guest had called the host; without usage it ended before it began."""
    if error.usage is None:
        return error.call is not None and error.call.nth == 0
    return not error.usage.host_calls


def _own_obstacle(error: WasmError) -> CannotRepeat | None:
    """Return the reason why a call cannot be repeated although its guest can; `None` if there is none."""
    call, repetition = error.call, repetition_of(error.call)
    assert call is not None
    assert repetition is not None
    name = printable(call.export or "the instantiation")
    if (call.export or "").find("[drop]") >= 0 or any(isinstance(one, Resource) for one in repetition.args):
        return CannotRepeat(f"{name} takes a resource of the store in which it failed")
    if call.nth > 1 or (call.nth == 1 and call.export is None):
        return CannotRepeat(f"{name} was not the first call in its store, and only a first call is run again")
    if error.usage is not None and error.usage.fuel.max_fuel != repetition.limits.fuel:
        return CannotRepeat(f"{name}: {_SHARED_FUEL}")
    return None
