"""Sequences of calls in one instance, as data, and the player that makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.fuzzing.trials import Finding, Trial
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant, field_name
from pytest_airssys_wasm.runtime.errors import UnfitHost, WasmError
from pytest_airssys_wasm.runtime.wit.handles import has_handle
from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    ListType,
    OptionType,
    OwnType,
    RecordType,
    ResourceType,
    ResultType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.fuzzing.trials import Guest
    from pytest_airssys_wasm.runtime.guest.instance import Instance
    from pytest_airssys_wasm.runtime.wit.types import WitType


class Saved(Struct, frozen=True):
    """A resource in the result of an earlier step, in the place of a handle in arguments."""

    step: int
    """The number of the step."""
    path: str
    """The Python expression for the resource in the result of the step, behind the name of the result: `.value[0]`."""

    def __repr__(self) -> str:
        return f"r{self.step}{self.path}"


class Step(Struct, frozen=True, kw_only=True):
    """One call of a sequence."""

    number: int
    """The number of the step, which no other step of the sequence has. It stays when steps before it are removed."""
    export: str
    args: tuple[Any, ...]
    """The arguments, in which each handle is a `Saved`."""

    def sources(self) -> frozenset[int]:
        """Return the numbers of the steps whose resources are among the arguments."""
        return frozenset(one.step for one in saved_in(self.args))


class CallSequence(Struct, frozen=True, kw_only=True):
    """The steps that are made in one instance, once or again and again."""

    steps: tuple[Step, ...]
    is_repeated: bool = False


def saved_in(value: Any) -> Iterator[Saved]:
    """Yield the references to resources in a value."""
    match value:
        case Saved():
            yield value
        case list() | tuple():
            for one in value:
                yield from saved_in(one)
        case dict():
            yield from saved_in([*value.values()])
        case Variant(payload=inner) | Some(inner) | Ok(inner) | Err(inner):
            yield from saved_in(inner)


def replaced(value: Any, get: Callable[[Saved], Any]) -> Any:
    """Return a value with each reference to a resource replaced by what `get` returns for it."""
    match value:
        case Saved():
            return get(value)
        case list():
            return [replaced(one, get) for one in value]
        case tuple():
            return tuple(replaced(one, get) for one in value)
        case dict():
            return {name: replaced(one, get) for name, one in value.items()}
        case Variant(case, payload):
            return Variant(case, replaced(payload, get))
        case Some(inner) | Ok(inner) | Err(inner):
            return type(value)(replaced(inner, get))
        case _:
            return value


def resources_in(value: Any, type_: WitType, path: str = "") -> Iterator[tuple[str, ResourceType, Any]]:
    """Yield the path, the type and the object of each resource that a result gives to the host."""
    if not has_handle(type_):
        return
    match type_:
        case OwnType(resource):
            yield path, resource, value
        case ListType(element):
            for index, one in enumerate(value):
                yield from resources_in(one, element, f"{path}[{index}]")
        case TupleType(elements):
            for index, (one, element) in enumerate(zip(value, elements)):
                yield from resources_in(one, element, f"{path}[{index}]")
        case RecordType(fields):
            assert isinstance(value, Record)
            for name, field in fields:
                yield from resources_in(getattr(value, field_name(name)), field, f"{path}.{field_name(name)}")
        case VariantType(cases):
            payload = dict(cases)[value.case]
            if payload is not None:
                yield from resources_in(value.payload, payload, f"{path}.payload")
        case OptionType(payload):
            if value is not None:
                nests = isinstance(payload, OptionType)
                inner, step = (value.value, ".value") if nests else (value, "")
                yield from resources_in(inner, payload, path + step)
        case ResultType(ok, err):
            match value:
                case Ok(inner) if ok is not None:
                    yield from resources_in(inner, ok, f"{path}.value")
                case Err(inner) if err is not None:
                    yield from resources_in(inner, err, f"{path}.error")


def owned_in(value: Any, type_: WitType) -> Iterator[Saved]:
    """Yield the references in an argument that give their resources to the guest."""
    if not has_handle(type_):
        return
    match type_:
        case OwnType():
            yield value
        case BorrowType():
            return
        case ListType(element):
            for one in value:
                yield from owned_in(one, element)
        case TupleType(elements):
            for one, element in zip(value, elements):
                yield from owned_in(one, element)
        case RecordType(fields):
            for name, field in fields:
                yield from owned_in(value[name], field)
        case VariantType(cases):
            payload = dict(cases)[value.case]
            if payload is not None:
                yield from owned_in(value.payload, payload)
        case OptionType(payload):
            if value is not None:
                yield from owned_in(value.value if isinstance(payload, OptionType) else value, payload)
        case ResultType(ok, err):
            side = ok if isinstance(value, Ok) else err
            if side is not None:
                yield from owned_in(value.value if isinstance(value, Ok) else value.error, side)


class Player:
    """One instance in a store of its own, in which steps are made. Close it after use."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._store = guest.new_store()
        self._instance: Instance | None = None
        self._resources: dict[Saved, tuple[ResourceType, Any]] = {}
        self.is_over = False
        """Whether an execution has failed, after which the instance cannot be entered any more."""
        self.peak_memory_bytes = 0
        """The memory of the store after the last execution; a memory never shrinks."""
        self.made: list[Step] = []
        """The steps that were made."""

    def live(self, resource: ResourceType) -> list[Saved]:
        """Return the references to the resources of a type that the host has."""
        return [saved for saved, (type_, _) in self._resources.items() if type_ == resource]

    def play(self, step: Step) -> Trial | None:
        """Make a step; return its end, or `None` if one of its resources is missing, so that it is left out.

        Raises `UnfitHost`, which says nothing about the guest.
        """
        types = self._guest.component.parameter_types(step.export)
        needed = [*saved_in(step.args)]
        if self.is_over or any(saved not in self._resources for saved in needed):
            return None
        error, result = None, None
        try:
            if self._instance is None:
                self._instance = self._store.instantiate(self._guest.component)
            args = replaced(step.args, lambda saved: self._resources[saved][1])
            result = self._instance.call(step.export, *args)
        except UnfitHost:
            raise
        except WasmError as raised:
            error, self.is_over = raised, True
        except ValueError:  # the same resource is given away twice, or while it is lent
            return None
        self.made.append(step)
        for saved in (one for value, type_ in zip(step.args, types) if needed for one in owned_in(value, type_)):
            self._resources.pop(saved, None)
        if error is None:
            self._save(step, result)
        return self._trial(error)

    def _save(self, step: Step, result: Any) -> None:
        types = self._guest.component.result_types(step.export) if self._guest.component.kind == "component" else ()
        for type_ in types:
            for path, resource, one in resources_in(result, type_):
                self._resources[Saved(step.number, path)] = (resource, one)

    def drop_all(self) -> Trial | None:
        """Drop all resources that the host has, and return the end of the first execution that fails."""
        held, self._resources = [*self._resources.values()], {}
        for _, resource in held:
            drop = getattr(resource, "drop", None)
            if self.is_over or drop is None:
                continue
            try:
                drop()
            except UnfitHost:
                raise
            except WasmError as raised:
                self.is_over = True
                return self._trial(raised)
        return None

    def _trial(self, error: WasmError | None) -> Trial:
        usage = self._store.usage
        self.peak_memory_bytes = usage.peak_memory_bytes if usage is not None else 0
        return Trial(error=error, value=None, misfit=None, usage=usage, was_called=self._instance is not None)

    def close(self) -> None:
        """Release the instance."""
        self._resources = {}
        self._store.close()


def play(guest: Guest, steps: Sequence[Step], allowed: Callable[[str], frozenset[str]]) -> Finding | None:
    """Make the steps in a new instance, drop all resources, and return the fault that this shows, if any.

    `allowed` returns the kinds of ends that are right for an export.
    """
    player = Player(guest)
    try:
        for step in steps:
            found = fault_of(player.play(step), allowed(step.export))
            if found is not None:
                return found
            if player.is_over:
                return None
        return fault_of(player.drop_all(), frozenset(), "when its resources were dropped, the sequence ")
    finally:
        player.close()


def fault_of(trial: Trial | None, allowed: frozenset[str], before: str = "") -> Finding | None:
    """Return the fault that the end of a step shows, if any."""
    if trial is None or trial.error is None or not allowed.isdisjoint(trial.kinds):
        return None
    return Finding(kind=trial.kinds[-1], sentence=f"{before}{trial.ending}", error=trial.error)


def without(steps: Sequence[Step], removed: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps that are left without some of them, and without those that need their resources."""
    gone = {step.number for step in removed}
    left = []
    for step in steps:
        if step.number in gone or step.sources() & gone:
            gone.add(step.number)
        else:
            left.append(step)
    return tuple(left)
