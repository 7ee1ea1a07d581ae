"""The data models of the TOML files under `conformance/`: chapters and cases.

TOML has no null. In the fields that can hold null (`value`, `args`), an empty table `{}` stands for it.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, field, structs

from pytest_airssys_wasm.runtime.base.outcome import Verdict

Number: TypeAlias = int | float

FIGURES = ("fuel_consumed", "elapsed_ms", "peak_memory_bytes", "denied_growths")
"""The measured fields of a step's answer."""

MEASURES = (
    "host_rss_growth_mib",
    "open_files_growth",
    "threads_growth",
    "temporary_files_growth",
    "busy_threads",
)
"""The expectations of a case that are about the processes of the runtime."""

MOST_REPEATED_CHARACTERS = 16 * 2**20
"""The maximum number of characters in all repetitions of one piece of a guest."""


class Requirement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement about runtimes that cases prove."""

    sentence: str
    origin: str
    """The source of the requirement, such as a rule of a platform, a specification or a known failure mode."""


class Chapter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a `chapter.toml`."""

    title: str
    requirements: dict[str, Requirement]


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A range, both ends included; or a relation to the figure of another step."""

    min: Number | None = None
    max: Number | None = None
    of: str | None = None
    """The name of a step of the same actor: `min` and `max` are multiples of the figure of that step."""
    same_as: str | None = None
    """The name of a step of the same actor whose figure must be the same."""
    may_be_unknown: bool = False
    """Whether a runtime may answer null because it cannot know the figure."""

    def __post_init__(self) -> None:
        """Refuse a range that has no bounds, whose ends are in the wrong order, or that is combined with `same_as`."""
        has_range = self.min is not None or self.max is not None
        if self.same_as is not None and (has_range or self.of is not None):
            raise ValueError("`same_as` without any other bound")
        if self.same_as is None and not has_range:
            raise ValueError("at least one of `min`, `max`, `same_as`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("a `min` of at most `max`")


Expected: TypeAlias = int | float | Bounds
"""An expected figure: an exact number, or bounds."""


class LimitsFound(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits that a manifest is expected to declare."""

    memory_bytes: int | None = None
    fuel: int | Literal["unlimited"] | None = None
    timeout_ms: int | float | Literal["unlimited"] | None = None


class Text(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text that is not UTF-8."""

    base64: bytes


class Expect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The expected answer to a step. A field that is left out is not compared."""

    verdict: Verdict | list[Verdict] = Verdict.OK
    """The expected verdict, or a list of verdicts of which any is accepted."""
    value: Any = UNSET
    """The expected value in the protocol's encoding, or a table of `Bounds`."""
    trap: str | list[str] | None = None
    resource: str | list[str] | None = None
    code: int | None = None
    phase: Literal["instantiate", "call"] | None = None
    """The phase in which the step ended. An answer without a phase means `call`."""
    mentions: list[str] = []
    """The texts that the message must contain; upper and lower case are not distinguished."""
    limits: LimitsFound | None = None
    stdout: str | Text | None = None
    """The text that the guest wrote to stdout since the previous answer."""
    stderr: str | Text | None = None
    """The text that the guest wrote to stderr since the previous answer."""
    fuel_consumed: Expected | None = None
    elapsed_ms: Expected | None = None
    fastest_ms: Expected | None = None
    """The smallest `elapsed_ms` of all repetitions, which other load on the machine cannot reduce."""
    peak_memory_bytes: Expected | None = None
    denied_growths: Expected | None = None
    steady: list[Literal["value", "fuel_consumed", "peak_memory_bytes", "denied_growths"]] = []
    """The fields that must be the same in all repetitions and concurrent copies."""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The expected verdicts, of which the answer must have one."""
        return tuple(self.verdict) if isinstance(self.verdict, list) else (self.verdict,)

    @property
    def may_go_on(self) -> bool:
        """Whether the expected verdicts allow a further step in the same store."""
        return Verdict.OK in self.verdicts


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One execution: an instantiation or a call; or the reading of a manifest."""

    name: str | None = None
    phase: Literal["instantiate", "configure"] | None = None
    call: str | None = None
    """The name of an export: `run`, or `package:name/interface@1.0.0#run`."""
    args: list[Any] = []
    fresh: bool = False
    """Whether the step has a new store. Otherwise it uses the store of the previous step."""
    expect: Expect = field(default_factory=Expect)

    def __post_init__(self) -> None:
        """Refuse a step without any action, or with more than one."""
        if (self.phase is None) == (self.call is None):
            raise ValueError("either `call` or `phase`")
        if self.args and self.call is None:
            raise ValueError("`args` only beside `call`")


class CaseLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits that are passed to a runtime, which may be invalid on purpose.

    A limit that is left out has its default.
    """

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
        """Return these limits, overridden by those that are set in `over`."""
        given = {key: value for key, value in structs.asdict(over).items() if value is not UNSET}
        return structs.replace(self, **given)


class WasiGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A grant of WASI. If it is present, WASI is linked, and only the declared access is granted."""

    args: list[str] = []
    env: dict[str, str] = {}
    stdin: str = ""
    folder: bool = False
    """Whether the guest may read and write an empty folder as `/`, which is new for each store."""


class Repeated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A repeated piece of a WAT text, by which a small file can describe a large guest."""

    text: str
    """The text of one repetition. `{#}` in it stands for the number of the repetition, from 0."""
    times: int

    def __post_init__(self) -> None:
        """Refuse a negative number, and a text longer than any guest needs to be."""
        if self.times < 0 or self.times * len(self.text) > MOST_REPEATED_CHARACTERS:
            raise ValueError(f"`times` of at least 0, and at most {MOST_REPEATED_CHARACTERS} characters in all")


class Actor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One component of a case, with its own stores. Fields that are left out have the values of the case."""

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
        """Refuse an actor with both a fixture and an inline WAT."""
        if self.fixture is not None and self.wat is not None:
            raise ValueError("either `fixture` or `wat`")


class WholeExpect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The expectations of the case as a whole."""

    elapsed_ms: Expected | None = None
    host_rss_growth_mib: Expected | None = None
    """The growth of the runtime's resident memory over the repetitions after the first tenth."""
    open_files_growth: Expected | None = None
    threads_growth: Expected | None = None
    temporary_files_growth: Expected | None = None
    """The growth of the number of files in the temporary folder of the runtime."""
    busy_threads: Expected | None = None
    """The number of threads of the runtime that are at work all the time although it is not asked anything."""

    @property
    def is_measured(self) -> bool:
        """Whether the case has expectations about the processes of the runtime."""
        return any(getattr(self, name) is not None for name in MEASURES)


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a case's file."""

    requirement: str
    summary: str
    needs: list[str] = []
    """The capabilities without which the case is skipped."""
    fixture: str | None = None
    wat: str | None = None
    repeated: dict[str, Repeated] = {}
    """The repeated pieces by name: `{{name}}` in the WAT stands for all repetitions of the piece."""
    manifest: str | None = None
    limits: CaseLimits = field(default_factory=CaseLimits)
    wasi: WasiGrant | None = None
    imports: list[str] = []
    """The names of the functions of the host library (`host_library.py`) that are granted."""
    fuel_per: Literal["step", "run"] = "step"
    """The scope of the fuel limit: `step` for each step, `run` for all steps in one store together."""
    repeat: int = 1
    """The number of times that the whole case runs, in sequence."""
    concurrency: int = 1
    """The number of concurrent copies of the case, each with its own stores."""
    schedule: Literal["at-once", "in-turn"] = "at-once"
    """The schedule of the actors: `at-once` runs them concurrently, `in-turn` one after the other."""
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
        """Return the actors, with missing fields taken from the case; a single unnamed actor if none is declared."""
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
