"""What a chapter and a case may say: declared models of the TOML files under `conformance/`.

TOML has no null. Where a value can be null (`value`, `args`), an empty table `{}` stands for it.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, field, structs

from pytest_airssys_wasm.runtime.base.outcome import Verdict

Number: TypeAlias = int | float

FIGURES = ("fuel_consumed", "elapsed_ms", "peak_memory_bytes", "denied_growths")
"""The fields of a step's answer that are measured."""

MOST_REPEATED_CHARACTERS = 16 * 2**20
"""Of one piece of a guest, all its times together."""


class Requirement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that a runtime must do."""

    sentence: str
    origin: str
    """Who asks for it: a platform's rule, a specification, a known way to fail."""


class Chapter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a `chapter.toml`."""

    title: str
    requirements: dict[str, Requirement]


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A range, both ends included; or the figure of another step, as it is or multiplied."""

    min: Number | None = None
    max: Number | None = None
    of: str | None = None
    """Name of a step of the same actor: `min` and `max` are multiples of what that step got."""
    same_as: str | None = None
    """Name of a step of the same actor that must have got exactly the same."""
    may_be_unknown: bool = False
    """Whether a runtime may answer null here, because it cannot know."""

    def __post_init__(self) -> None:
        """Refuse a range that says nothing, or two things."""
        has_range = self.min is not None or self.max is not None
        if self.same_as is not None and (has_range or self.of is not None):
            raise ValueError("`same_as` stands alone")
        if self.same_as is None and not has_range:
            raise ValueError("at least one of `min`, `max`, `same_as`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("`min` no greater than `max`")


Expected: TypeAlias = int | float | Bounds
"""Of a figure: exactly this, or within these bounds."""


class LimitsFound(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits that a manifest must have come to mean."""

    memory_bytes: int | None = None
    fuel: int | Literal["unlimited"] | None = None
    timeout_ms: int | float | Literal["unlimited"] | None = None


class Expect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a step must answer. What is not said is not judged."""

    verdict: Verdict | list[Verdict] = Verdict.OK
    """A list: any of these."""
    value: Any = UNSET
    """In the protocol's encoding; or a table of `Bounds`."""
    trap: str | list[str] | None = None
    resource: str | list[str] | None = None
    code: int | None = None
    phase: Literal["instantiate", "call"] | None = None
    """In which it ended; `call` is what an answer without a phase means."""
    mentions: list[str] = []
    """What the message must contain."""
    limits: LimitsFound | None = None
    fuel_consumed: Expected | None = None
    elapsed_ms: Expected | None = None
    fastest_ms: Expected | None = None
    """The least `elapsed_ms` of all repetitions: other load on the machine cannot make it smaller."""
    peak_memory_bytes: Expected | None = None
    denied_growths: Expected | None = None
    steady: list[Literal["value", "fuel_consumed", "peak_memory_bytes", "denied_growths"]] = []
    """What must be the same in every repetition and every concurrent copy."""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts that are right."""
        return tuple(self.verdict) if isinstance(self.verdict, list) else (self.verdict,)

    @property
    def may_go_on(self) -> bool:
        """Whether the store can still be used after this step."""
        return Verdict.OK in self.verdicts


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One execution: an instantiation or a call; or the reading of a manifest."""

    name: str | None = None
    phase: Literal["instantiate", "configure"] | None = None
    call: str | None = None
    """An export: `run`, or `package:name/interface@1.0.0#run`."""
    args: list[Any] = []
    fresh: bool = False
    """In a new store. Without it a step goes on in the store of the step before."""
    expect: Expect = field(default_factory=Expect)

    def __post_init__(self) -> None:
        """A step does one thing."""
        if (self.phase is None) == (self.call is None):
            raise ValueError("either `call` or `phase`")
        if self.args and self.call is None:
            raise ValueError("`args` only beside `call`")


class CaseLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits as they are given to the runtime, wrong ones included. What is absent has its defaults."""

    memory: Any = UNSET
    fuel: Any = UNSET
    """Units for each execution, or `"unlimited"`."""
    timeout_ms: Any = UNSET
    """Milliseconds for each execution, or `"unlimited"`."""
    tables: Any = UNSET
    table_elements: Any = UNSET
    instances: Any = UNSET
    memories: Any = UNSET
    transfer: Any = UNSET
    output: Any = UNSET

    def merged(self, over: CaseLimits) -> CaseLimits:
        """These limits, with those of `over` that are given in their place."""
        given = {key: value for key, value in structs.asdict(over).items() if value is not UNSET}
        return structs.replace(self, **given)


class WasiGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """WASI is linked; nothing but this is granted."""

    args: list[str] = []
    env: dict[str, str] = {}
    stdin: str = ""


class Repeated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of a WAT text that is written many times: large guests in small files."""

    text: str
    """What is written. `{#}` in it is the number of the time, from 0."""
    times: int

    def __post_init__(self) -> None:
        """Refuse what would be longer than any guest needs to be."""
        if self.times < 0 or self.times * len(self.text) > MOST_REPEATED_CHARACTERS:
            raise ValueError(f"`times` of at least 0, and at most {MOST_REPEATED_CHARACTERS} characters in all")


class Actor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One component with stores of its own. What it does not say, the case says."""

    name: str
    fixture: str | None = None
    wat: str | None = None
    repeated: dict[str, Repeated] = {}
    manifest: str | None = None
    limits: CaseLimits = field(default_factory=CaseLimits)
    wasi: WasiGrant | None = None
    imports: list[str] | None = None
    fuel_per: Literal["step", "run"] | None = None
    steps: list[Step] = []

    def __post_init__(self) -> None:
        """One source of the component at most."""
        if self.fixture is not None and self.wat is not None:
            raise ValueError("either `fixture` or `wat`")


class WholeExpect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must hold of the case as a whole."""

    elapsed_ms: Expected | None = None
    host_rss_growth_mib: Expected | None = None
    """Growth of the runtime's resident memory over the repetitions after the first tenth."""
    open_files_growth: Expected | None = None


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a case's file."""

    requirement: str
    summary: str
    needs: list[str] = []
    """Capabilities without which the case is skipped."""
    fixture: str | None = None
    wat: str | None = None
    repeated: dict[str, Repeated] = {}
    """Pieces by name: `{{name}}` in the WAT stands for all times of one."""
    manifest: str | None = None
    limits: CaseLimits = field(default_factory=CaseLimits)
    wasi: WasiGrant | None = None
    imports: list[str] = []
    """Names of reference imports that are granted; see `imports.py`."""
    fuel_per: Literal["step", "run"] = "step"
    """Whether each step has the fuel limit to itself, or all steps in one store share it."""
    repeat: int = 1
    """How many times the whole case runs, one after the other."""
    concurrency: int = 1
    """How many copies of it run at once, each in stores of its own."""
    schedule: Literal["at-once", "in-turn"] = "at-once"
    """Of the actors."""
    steps: list[Step] = []
    actors: list[Actor] = []
    expect: WholeExpect = field(default_factory=WholeExpect)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself within the file."""
        if self.fixture is not None and self.wat is not None:
            raise ValueError("either `fixture` or `wat`")
        if self.repeat < 1 or self.concurrency < 1:
            raise ValueError("`repeat` and `concurrency` of at least 1")
        if bool(self.steps) == bool(self.actors):
            raise ValueError("either `[[steps]]` or `[[actors]]`")

    def cast(self) -> tuple[Actor, ...]:
        """The actors, with everything filled in from the case; one without a name when none is declared."""
        if not self.actors:
            return (self._filled(Actor(name="", steps=self.steps)),)
        return tuple(self._filled(actor) for actor in self.actors)

    def _filled(self, actor: Actor) -> Actor:
        own_source = actor.fixture is not None or actor.wat is not None
        return structs.replace(
            actor,
            fixture=actor.fixture if own_source else self.fixture,
            wat=actor.wat if own_source else self.wat,
            repeated=actor.repeated or ({} if own_source else self.repeated),
            manifest=self.manifest if actor.manifest is None else actor.manifest,
            limits=self.limits.merged(actor.limits),
            wasi=actor.wasi or self.wasi,
            imports=self.imports if actor.imports is None else actor.imports,
            fuel_per=actor.fuel_per or self.fuel_per,
        )


# msgspec looks at a type when it is first needed, and crashes when two threads need it at once.
msgspec.json.Decoder(Case)
msgspec.json.Decoder(Chapter)
msgspec.json.Decoder(Bounds)
