"""The declared models of the TOML files under `conformance/`: chapters and cases.

TOML has no null. Where a value can be null (`value`, `args`), an empty table `{}` stands for it.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, field, structs

from pytest_airssys_wasm.runtime.base.outcome import Verdict

Number: TypeAlias = int | float

FIGURES = ("fuel_consumed", "elapsed_ms", "peak_memory_bytes", "denied_growths")
"""The measured fields of a step's answer."""

MOST_REPEATED_CHARACTERS = 16 * 2**20
"""The most that one piece of a guest may come to, all repetitions together."""


class Requirement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement about runtimes that cases prove."""

    sentence: str
    origin: str
    """The source of the requirement: a platform's rule, a specification, a known way to fail."""


class Chapter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a `chapter.toml`."""

    title: str
    requirements: dict[str, Requirement]


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A range, both ends included; or the figure of another step, as it is or multiplied."""

    min: Number | None = None
    max: Number | None = None
    of: str | None = None
    """The name of a step of the same actor: `min` and `max` are multiples of the figure of that step."""
    same_as: str | None = None
    """The name of a step of the same actor with exactly the same figure."""
    may_be_unknown: bool = False
    """Whether a runtime may answer null here, because it cannot know the figure."""

    def __post_init__(self) -> None:
        """Refuse a range without bounds, with its ends in the wrong order, or beside `same_as`."""
        has_range = self.min is not None or self.max is not None
        if self.same_as is not None and (has_range or self.of is not None):
            raise ValueError("`same_as` stands alone")
        if self.same_as is None and not has_range:
            raise ValueError("at least one of `min`, `max`, `same_as`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("a `min` of at most `max`")


Expected: TypeAlias = int | float | Bounds
"""An expected figure: exactly this, or within these bounds."""


class LimitsFound(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits that a manifest is expected to give."""

    memory_bytes: int | None = None
    fuel: int | Literal["unlimited"] | None = None
    timeout_ms: int | float | Literal["unlimited"] | None = None


class Expect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The expected answer to a step. A field that is left out is not compared."""

    verdict: Verdict | list[Verdict] = Verdict.OK
    """The expected verdict; of a list, any."""
    value: Any = UNSET
    """The expected value in the protocol's encoding, or a table of `Bounds`."""
    trap: str | list[str] | None = None
    resource: str | list[str] | None = None
    code: int | None = None
    phase: Literal["instantiate", "call"] | None = None
    """The phase in which the step ended. An answer without a phase means `call`."""
    mentions: list[str] = []
    """The texts that the message must contain, in any case."""
    limits: LimitsFound | None = None
    fuel_consumed: Expected | None = None
    elapsed_ms: Expected | None = None
    fastest_ms: Expected | None = None
    """The least `elapsed_ms` of all repetitions, which other load on the machine cannot make smaller."""
    peak_memory_bytes: Expected | None = None
    denied_growths: Expected | None = None
    steady: list[Literal["value", "fuel_consumed", "peak_memory_bytes", "denied_growths"]] = []
    """The fields that must be the same in every repetition and every concurrent copy."""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The expected verdicts, of which the answer must have one."""
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
    """The name of an export: `run`, or `package:name/interface@1.0.0#run`."""
    args: list[Any] = []
    fresh: bool = False
    """Whether the step has a new store. Otherwise it goes on in the store of the step before."""
    expect: Expect = field(default_factory=Expect)

    def __post_init__(self) -> None:
        """Refuse a step that does nothing, or two things."""
        if (self.phase is None) == (self.call is None):
            raise ValueError("either `call` or `phase`")
        if self.args and self.call is None:
            raise ValueError("`args` only beside `call`")


class CaseLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits that a runtime is given, wrong ones included. A limit that is left out has its default."""

    memory: Any = UNSET
    fuel: Any = UNSET
    """The fuel of each execution in units, or `"unlimited"`."""
    timeout_ms: Any = UNSET
    """The timeout of each execution in milliseconds, or `"unlimited"`."""
    tables: Any = UNSET
    table_elements: Any = UNSET
    instances: Any = UNSET
    memories: Any = UNSET
    transfer: Any = UNSET
    output: Any = UNSET

    def merged(self, over: CaseLimits) -> CaseLimits:
        """Return these limits, replaced by those that `over` gives."""
        given = {key: value for key, value in structs.asdict(over).items() if value is not UNSET}
        return structs.replace(self, **given)


class WasiGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A grant of WASI, which is linked then; nothing else is granted."""

    args: list[str] = []
    env: dict[str, str] = {}
    stdin: str = ""


class Repeated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of a WAT text that is repeated, so that large guests are small files."""

    text: str
    """The text of one repetition. `{#}` in it stands for the number of the repetition, from 0."""
    times: int

    def __post_init__(self) -> None:
        """Refuse a negative number, and a text longer than any guest needs to be."""
        if self.times < 0 or self.times * len(self.text) > MOST_REPEATED_CHARACTERS:
            raise ValueError(f"`times` of at least 0, and at most {MOST_REPEATED_CHARACTERS} characters in all")


class Actor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One component with stores of its own. Fields that are left out are those of the case."""

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
        """Refuse two sources of the component."""
        if self.fixture is not None and self.wat is not None:
            raise ValueError("either `fixture` or `wat`")


class WholeExpect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The expectations of the case as a whole."""

    elapsed_ms: Expected | None = None
    host_rss_growth_mib: Expected | None = None
    """The growth of the runtime's resident memory over the repetitions after the first tenth."""
    open_files_growth: Expected | None = None


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a case's file."""

    requirement: str
    summary: str
    needs: list[str] = []
    """The capabilities without which the case is skipped."""
    fixture: str | None = None
    wat: str | None = None
    repeated: dict[str, Repeated] = {}
    """The repeated pieces by name: `{{name}}` in the WAT stands for all repetitions of one."""
    manifest: str | None = None
    limits: CaseLimits = field(default_factory=CaseLimits)
    wasi: WasiGrant | None = None
    imports: list[str] = []
    """The names of functions of the host library that are granted; see `host_library.py`."""
    fuel_per: Literal["step", "run"] = "step"
    """Whether each step has the whole fuel limit, or all steps in one store share it."""
    repeat: int = 1
    """The number of times that the whole case runs, one after the other."""
    concurrency: int = 1
    """The number of copies of the case that run at once, each in stores of its own."""
    schedule: Literal["at-once", "in-turn"] = "at-once"
    """Whether the actors run at once or one after the other."""
    steps: list[Step] = []
    actors: list[Actor] = []
    expect: WholeExpect = field(default_factory=WholeExpect)

    def __post_init__(self) -> None:
        """Refuse a case whose fields contradict each other."""
        if self.fixture is not None and self.wat is not None:
            raise ValueError("either `fixture` or `wat`")
        if self.repeat < 1 or self.concurrency < 1:
            raise ValueError("`repeat` and `concurrency` of at least 1")
        if bool(self.steps) == bool(self.actors):
            raise ValueError("either `[[steps]]` or `[[actors]]`")

    def cast(self) -> tuple[Actor, ...]:
        """Return the actors with every field filled in from the case; one without a name when none is declared."""
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


# msgspec inspects a type when it is first used, and crashes when two threads use it first at once.
msgspec.json.Decoder(Case)
msgspec.json.Decoder(Chapter)
msgspec.json.Decoder(Bounds)
