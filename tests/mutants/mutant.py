"""A mutant: a name, a sentence, and the smallest change of the sound runtime that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import structs

from pytest_airssys_wasm.conformance import inprocess
from pytest_airssys_wasm.runtime.guest import direct_executions, direct_instances, in_process
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_airssys_wasm.protocol.messages import StepAnswer

    Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A runtime that is wrong in one way."""

    name: str
    family: str
    sentence: str
    plant: Plant
    """The change of the package in this process, until the patch is undone. Make the engine afterwards."""
    alone: bool
    """Whether it hangs, ends or litters its process, so that it needs a process of its own."""
    lasts: bool
    """Whether one case may be failed by what another did before: few kills are confirmed, each in a process of its own."""
    soaks: bool
    """Whether it may leave something behind, so that cases that repeat themselves are run in full length."""


class Family:
    """The mutants of one file. `soaks`: the lone ones among them leave something behind."""

    def __init__(self, name: str, *, soaks: bool = False) -> None:
        self.name = name
        self.soaks = soaks
        self.mutants: list[Mutant] = []

    def mutant(self, plant: Plant) -> Plant:
        """Add the mutant that this function plants; its name and its sentence are the function's."""
        return self._add(plant)

    def lone_mutant(self, plant: Plant) -> Plant:
        """Add a mutant that hangs, ends or litters its process."""
        return self._add(plant, alone=True)

    def lasting_mutant(self, plant: Plant, *, alone: bool = False) -> Plant:
        """Add a mutant that may fail a case for what another case did before it."""
        return self._add(plant, lasts=True, alone=alone)

    def _add(self, plant: Plant, *, alone: bool = False, lasts: bool = False) -> Plant:
        mutant = Mutant(
            name=plant.__name__.strip("_").replace("_", "-"),
            family=self.name,
            sentence=(plant.__doc__ or "").strip(),
            plant=_on_the_general_way(plant),
            alone=alone,
            lasts=lasts,
            soaks=alone and self.soaks,
        )
        self.mutants.append(mutant)
        return plant


def _on_the_general_way(plant: Plant) -> Plant:
    """Plant a defect where every execution takes the way on which all can be changed: that of a guest thread, without
    scalar lifts.
    """

    @wraps(plant)
    def planted(patch: pytest.MonkeyPatch) -> None:
        for module in (in_process, direct_executions, direct_instances):
            patch.setattr(module, "may_run_here", lambda *_: False)
        patch.setattr(in_process, "may_use_parked_thread", lambda *_: False)
        patch.setattr(WitComponent, "lifted", lambda *_: None)
        plant(patch)

    return planted


def around(patch: pytest.MonkeyPatch, owner: Any, name: str, instead: Callable[..., Any]) -> None:
    """Call `instead(original, *args, **kwargs)` wherever `owner.name` is called."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: instead(original, *args, **kwargs))


def answering(patch: pytest.MonkeyPatch, change: Callable[[StepAnswer, Any], dict[str, Any]]) -> None:
    """Change fields of every answer to `run`: `change(answer, request)` tells which."""

    def steps(original: Any, self: Any, request: Any) -> Any:
        for answer in original(self, request):
            yield structs.replace(answer, **change(answer, request))

    around(patch, inprocess.InProcessRuntime, "_steps", steps)


def ending(patch: pytest.MonkeyPatch, react: Callable[[LimitedStore, BaseException | None], None]) -> None:
    """Call `react(store, error)` when an execution has ended; `error` is what its store raises, or `None`."""

    def conclude(original: Any, self: Any, operation: Any, run: Any) -> None:
        error = None
        try:
            original(self, operation, run)
        except BaseException as raised:
            error = raised
            raise
        finally:
            react(self, error)

    around(patch, LimitedStore, "_conclude", conclude)


def reading(patch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change how the limits of a request are read: `change(limits)` tells what is read in their place."""
    around(patch, inprocess, "limits_from_wire", lambda read, limits: read({**limits, **change(limits)}))


def is_component(request: Any) -> bool:
    """Whether it is a component, and no core module, that the request runs."""
    return Path(request.component).read_text("utf-8").lstrip().startswith("(component")


def text_of(request: Any) -> str:
    """The text of the guest that the request runs."""
    return Path(request.component).read_text("utf-8", "replace")


def rewriting(patch: pytest.MonkeyPatch, change: Callable[[str], str]) -> None:
    """Load `change(text)` in the place of each guest: the defect is compiled into it."""

    def load(original: Any, self: Any, path: str) -> Any:
        text = Path(path).read_text("utf-8", "replace")
        changed = change(text)
        return original(self, path) if changed == text else self._engine.load(changed.encode())

    around(patch, inprocess.InProcessRuntime, "_load", load)
