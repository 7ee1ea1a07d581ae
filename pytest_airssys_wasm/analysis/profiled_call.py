"""The profile of an earlier call, from repeating the call in fresh instances."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.analysis.errors import CannotRepeat
from pytest_airssys_wasm.analysis.fuel_profile import Profile, profile
from pytest_airssys_wasm.analysis.repeatable import obstacle_to_repetition
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.guest.resources import Resource
from pytest_airssys_wasm.runtime.store.repetition import repetition_of
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.base.outcome import Call
    from pytest_airssys_wasm.runtime.budget.limits import Ceilings
    from pytest_airssys_wasm.runtime.store.repetition import Repetition


class ProfiledCall(Struct, frozen=True, kw_only=True):
    """A call with its profile in fresh instances of its guest."""

    profile: Profile
    """The profile of the call, with the instantiation of the guest."""
    call_fuel: int
    """The fuel of the call in a fresh instance, without the instantiation."""


def profile_again(call: Call, *, ceilings: Ceilings, samples: int, time_s: float) -> ProfiledCall:
    """Repeat a call of an export in fresh instances, and return its profile.

    The fuel limit is raised if it applied to the call alone, because the profile includes the instantiation. If
    `time_s` seconds have passed before `samples` runs were made, the profile has fewer samples.

    Raises `CannotRepeat` for a copy of a call, for one that takes a resource, for a guest that could affect the host,
    and if a ceiling is too low; and the `WasmError` with which the repeated call ends.
    """
    repetition = repetition_of(call)
    if repetition is None or repetition.function is None:
        raise CannotRepeat("there is no call of an export to repeat")
    name = printable(repetition.function)
    if any(isinstance(one, Resource) for one in repetition.args):
        raise CannotRepeat(f"{name} takes a resource of the store in which it was called")
    component, limits, host, wasi = repetition.component, repetition.limits, repetition.host, repetition.wasi
    obstacle = obstacle_to_repetition(component, host, wasi)
    if obstacle is not None:
        raise obstacle
    instantiation_fuel, call_fuel = _fuel_in_a_fresh_instance(repetition)
    needed = instantiation_fuel + call_fuel
    if limits.fuel is not None:
        limits = replace(limits, fuel=max(limits.fuel, needed))
    limits = ceilings.lower(limits)
    if limits.fuel is not None and limits.fuel < needed:
        raise CannotRepeat(
            f"{name} and the instantiation need {needed:,} fuel together, and the ceiling is {limits.fuel:,}"
        )
    found = profile(
        component,
        repetition.function,
        *repetition.args,
        limits=limits,
        samples=samples,
        time_s=time_s,
        host=host,
        wasi=wasi,
    )
    return ProfiledCall(profile=found, call_fuel=call_fuel)


def _fuel_in_a_fresh_instance(repetition: Repetition) -> tuple[int, int]:
    """Return the fuel of the instantiation, and the fuel of the call after it."""
    assert repetition.function is not None
    store = LimitedStore(repetition.engine, repetition.limits, host=repetition.host, wasi=repetition.wasi)
    with store.as_rerun():
        instance = store.instantiate(repetition.component)
        assert store.usage is not None
        instantiation_fuel = store.usage.fuel.consumed
        instance.call(repetition.function, *repetition.args)
        return instantiation_fuel, store.usage.fuel.consumed
