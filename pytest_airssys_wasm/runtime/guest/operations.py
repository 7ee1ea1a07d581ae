"""What a store can be asked to run, as data: where it runs decides how."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.execution.run import GuestFailed
from pytest_airssys_wasm.runtime.guest.component import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.in_process import ThreadHome
    from pytest_airssys_wasm.runtime.guest.instance import Instance


class Operation(Protocol):
    """One execution as it is asked for."""

    @property
    def component(self) -> Component:
        """What it runs."""

    @property
    def function(self) -> str | None:
        """Full name of the export; `None` where the guest is only instantiated."""

    @property
    def args(self) -> Sequence[Any]:
        """The arguments of the call."""

    def prepare(self, run: Run, home: ThreadHome) -> Callable[[Run], Any]:
        """Everything that can be refused before guest code runs; the result runs it, on a guest thread."""


class Instantiate:
    """Link and instantiate."""

    __slots__ = ("component",)
    function = None
    args = ()

    def __init__(self, component: Component) -> None:
        self.component = component

    def prepare(self, run: Run, home: ThreadHome) -> Callable[[Run], Instance]:
        return self.component.link(home)


class CallExport:
    """Call an export of an instance."""

    __slots__ = ("args", "component", "function", "instance")

    def __init__(self, instance: Instance, function: str, args: Sequence[Any]) -> None:
        check_name(function)
        self.instance = instance
        self.component = instance.component
        self.function = function
        self.args = args

    def prepare(self, run: Run, home: ThreadHome) -> Callable[[Run], Any]:
        return partial(self.component.prepare(self.function, self.args, run, home), self.instance)


class Execute:
    """Instantiate and call, as one execution."""

    __slots__ = ("args", "component", "function")

    def __init__(self, component: Component, function: str, args: Sequence[Any]) -> None:
        check_name(function)
        self.component = component
        self.function = function
        self.args = args

    def prepare(self, run: Run, home: ThreadHome) -> Callable[[Run], Any]:
        instantiate = self.component.link(home)
        call = self.component.prepare(self.function, self.args, run, home)
        return lambda run: call(instantiate(run), run)


class DropResource:
    """Give a guest's resource back: its destructor runs."""

    __slots__ = ("component", "function", "pointer")
    args = ()

    def __init__(self, component: Component, function: str, pointer: int) -> None:
        self.component = component
        self.function = function
        """A destructor has no export: the resource's name behind `[drop]`."""
        self.pointer = pointer

    def prepare(self, run: Run, home: ThreadHome) -> Callable[[Run], None]:
        def enter(_run: Run) -> None:
            error = abi.resource_any_drop(home.raw.context, self.pointer)
            abi.resource_any_delete(self.pointer)
            if error:
                raise GuestFailed(failures.take(error))

        return enter
