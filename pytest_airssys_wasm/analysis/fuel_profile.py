"""The profile of a call: in which functions its fuel goes, from plain runs that are given less and less fuel."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.analysis.backtraces import READING_S, SourceLine, SourceLineReader
from pytest_airssys_wasm.analysis.errors import CannotRepeat
from pytest_airssys_wasm.analysis.growths import growths_of
from pytest_airssys_wasm.analysis.repeatable import Deadline, RepeatableGuest
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.budget.units import parse_count
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.wave import write_call

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from pytest_airssys_wasm.analysis.growths import MemoryGrowths
    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.reporting.flamegraph import Origin
    from pytest_airssys_wasm.reporting.memory_timeline import MemoryTimeline
    from pytest_airssys_wasm.runtime.base.outcome import Frame
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

    Stack: TypeAlias = tuple[str, ...]
    """The names of functions, outermost first."""

INSTANTIATION = "(instantiation)"
"""The name of what happens before any function of the guest runs, such as the copying of data into memory."""
DEEPER = "(deeper)"
"""The name that stands for the outermost functions of a stack that is too deep to be read whole."""
_MOST_FRAMES = 20
"""The number of frames that wasmtime reads of a stack; its C API has no setting for it."""
_MOST_TITLE = 70
"""The number of characters of each title in the title of a difference."""
_STRIDE = (5**0.5 - 1) / 2
"""The golden ratio: multiples of it, less their whole parts, are spread evenly and follow no period of the guest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The fuel of a call by the functions that were running, or the difference between two of them.

    The sum of all stacks is exactly the total. How it is divided is an estimate from `samples` runs: a share of a
    quarter is off by about two percent of the total for 400 of them.
    """

    title: str
    """The call in WAVE notation."""
    total: int
    """The fuel of the call, with the instantiation of the guest; of a difference, by how much it is more."""
    stacks: Mapping[Stack, int]
    """The fuel by stack: names of functions, outermost first. Those of a difference may be negative, but not 0."""
    samples: int
    """The number of runs from which the stacks were taken; of a difference, the smaller one."""
    is_complete: bool = True
    """Whether all samples were taken; if not, `time_s` was too short for the number that was asked for."""
    is_difference: bool = False
    """Whether this is the difference between two profiles."""
    memory: MemoryGrowths | None = None
    """The growths of memory during the call, with the instantiation of the guest; `None` for a difference."""
    places: Mapping[str, SourceLine] = field(default_factory=dict)
    """The source line at which most of the own fuel of a function was seen, by the name of the function: a loop or a
    call in it. Functions without debugging information have none.
    """

    def minus(self, other: Profile) -> Profile:
        """Return by how much each stack costs more here than in another profile; these sum to the difference of the
        totals.
        """
        stacks = {
            stack: self.stacks.get(stack, 0) - other.stacks.get(stack, 0) for stack in {**self.stacks, **other.stacks}
        }
        return Profile(
            title=self.title if self.title == other.title else _difference_of(self, other),
            total=self.total - other.total,
            stacks={stack: fuel for stack, fuel in stacks.items() if fuel},
            samples=min(self.samples, other.samples),
            is_complete=self.is_complete and other.is_complete,
            is_difference=True,
            places={**other.places, **self.places},
        )

    def by_function(self) -> dict[str, tuple[int, int]]:
        """Return the fuel of each function: its own, and with all that it called; the dearest on its own first.

        A function that calls itself is counted once in each stack.
        """
        own: Counter[str] = Counter()
        whole: Counter[str] = Counter()
        for stack, fuel in self.stacks.items():
            own[stack[-1]] += fuel
            for name in set(stack):
                whole[name] += fuel
        return {name: (own[name], whole[name]) for name in sorted(whole, key=lambda name: (-abs(own[name]), name))}

    def write(self, path: str | os.PathLike[str], *, origin: Origin | None = None) -> None:
        """Write the profile to a file, in the format that its name ends with: `.folded` (one stack a line),
        `.speedscope.json`, or `.html` (a page that needs no other file). Missing folders are created.

        A page names the test of `origin`, which `--wasm-profile` gives.

        Raises `InvalidConfiguration` for another name, and `OSError` if the file cannot be written.
        """
        # Pages are drawn in a higher layer, of which this package uses nothing else; so it is imported here.
        from pytest_airssys_wasm.reporting import flamegraph

        flamegraph.write(
            path,
            self.stacks,
            title=self.title,
            total=self.total,
            samples=self.samples,
            is_difference=self.is_difference,
            memory=None if self.memory is None else timeline_of(self.memory),
            places={name: (place.file, place.line) for name, place in self.places.items()},
            origin=origin,
        )


def timeline_of(memory: MemoryGrowths) -> MemoryTimeline:
    """Return the growths of memory as they are drawn."""
    from pytest_airssys_wasm.reporting.memory_timeline import MemoryStep, MemoryTimeline

    steps = [
        MemoryStep(
            fuel=growth.fuel,
            memory_bytes=growth.memory_bytes,
            refused=growth.refused,
            functions=tuple(reversed(stack_of(growth.frames))),
        )
        for growth in memory.growths
    ]
    return MemoryTimeline.of(initial_bytes=memory.initial_bytes, steps=tuple(steps), is_complete=memory.is_complete)


def _difference_of(one: Profile, other: Profile) -> str:
    """Return the title of a difference. Calls that only differ behind the cut are told apart by their fuel."""
    titles = [_short(profile.title) for profile in (one, other)]
    if titles[0] == titles[1]:
        begin = _short(one.title, _MOST_TITLE // 2)
        titles = [f"{begin} with {profile.total:,} fuel" for profile in (one, other)]
    return " minus ".join(titles)


def _short(title: str, most: int = _MOST_TITLE) -> str:
    """Return a title, shortened if there would be no room for another one beside it."""
    return title if len(title) <= most else title[: most - 1] + "…"


def profile(
    component: Component,
    export: str,
    *args: Any,
    limits: ResourceLimits | None = None,
    samples: int = 400,
    time_s: float | None = None,
    host: HostFunctions | None = None,
    wasi: Wasi | None = None,
) -> Profile:
    """Return where the fuel of a call goes, in functions and their callers.

    The call is made again with `samples` budgets, one in each of as many equal parts of its fuel, and each of these
    runs tells in which functions it ran out. Nothing is added to the guest, so components and optimised binaries are
    profiled as they are. wasmtime looks at the fuel where functions and loops begin and at bulk operations, so a block
    without these counts where the next one begins. Of stacks of more than 20 functions only the innermost are known.
    The runs also tell when the memory grew; some more of them, within the same time, find where exactly.

    Raises `CannotRepeat`, also for a call whose fuel varies, the `WasmError` with which the call ends under these
    limits, and the errors of `execute`.
    """
    deadline = Deadline(time_s)
    wanted = parse_count(samples, "samples")
    if not wanted:
        raise InvalidConfiguration("samples", samples, "a whole number above 0")
    guest = RepeatableGuest(component, limits=limits, host=host, wasi=wasi)
    first = guest.first(export, *args)
    total = first.fuel
    again = guest.run(export, *args)
    if again.error is not None or again.fuel != total:
        raise CannotRepeat(f"{printable(export)} used {total:,} fuel, and in the next run {again.fuel:,}: it varies")
    count = min(wanted, max(1, total))
    found: dict[int, Sequence[Frame] | None] = {}
    samples_made: dict[int, Rerun] = {}
    for part in _spread_evenly(count):
        if found and deadline.is_over:
            break
        offset = (0.5 + part * _STRIDE) % 1
        budget = int(total * (part + offset) / count)
        samples_made[budget] = done = guest.run_to_its_end(export, *args, limits=guest.under(fuel=budget))
        found[part] = _frames_of(done, export)
    backtraces = [found[part] for part in sorted(found)]
    stacks = [None if frames is None else stack_of(frames) for frames in backtraces]
    return Profile(
        title=write_call(export, args, component.parameter_types(export)),
        total=total,
        stacks=_spread(stacks, total),
        samples=len(stacks),
        is_complete=len(stacks) == count,
        memory=growths_of(guest, export, args, done=first, samples=samples_made, deadline=deadline),
        places=_places(component, [frames[0] for frames in backtraces if frames], deadline),
    )


def _spread_evenly(count: int) -> list[int]:
    """Return the numbers below `count` in an order in which the first ones, however many, are spread over the whole
    range.

    A profile that runs out of time thus has samples from the whole call, only fewer of them.
    """
    digits = (count - 1).bit_length()
    return sorted(range(count), key=lambda part: f"{part:0{digits}b}"[::-1])


def _frames_of(done: Rerun, export: str) -> Sequence[Frame] | None:
    """Return the backtrace with which a call ran out of a budget; `None` if the call returned with it."""
    if done.error is None:
        return None
    if done.verdict is not Verdict.OUT_OF_FUEL:
        raise CannotRepeat(f"{printable(export)} returned, and in another run ended with {done.verdict}: it varies")
    return done.error.frames


def _places(component: Component, innermost: Sequence[Frame], deadline: Deadline) -> dict[str, SourceLine]:
    """Return the source line of each function that most of the samples in it have."""
    if deadline.is_over:
        return {}
    reader = SourceLineReader(min(READING_S, deadline.left_ms / 1_000))
    found: dict[str, Counter[SourceLine]] = {}
    for frame, line in zip(innermost, reader.lines_in(component, innermost).lines):
        if line is not None:
            found.setdefault(_name_of(frame), Counter())[SourceLine(file=line.file, line=line.line)] += 1
    return {
        name: max(lines, key=lambda line: (lines[line], line.file, -line.line)) for name, lines in sorted(found.items())
    }


def stack_of(frames: Sequence[Frame]) -> Stack:
    """Return the names of the functions in a backtrace, outermost first; empty if no function was running."""
    names = tuple(map(_name_of, reversed(frames)))
    return (DEEPER, *names) if len(names) >= _MOST_FRAMES else names


def _name_of(frame: Frame) -> str:
    return printable(frame.function or "<unnamed>")


def _spread(stacks: Sequence[Stack | None], total: int) -> dict[Stack, int]:
    """Divide the fuel of a call between its samples, each of which stands for an equal part.

    Parts without a function belong to the instantiation, or at the end, where no budget is too small any more, to the
    outermost function.
    """
    found: Counter[Stack] = Counter()
    before: Stack = ()
    count = len(stacks)
    for part, stack in enumerate(stacks):
        if stack:
            before = stack
        shown = stack or before[:1] or (INSTANTIATION,)
        found[shown] += total * (part + 1) // count - total * part // count
    return dict(sorted(((stack, fuel) for stack, fuel in found.items() if fuel), key=lambda item: (-item[1], item[0])))
