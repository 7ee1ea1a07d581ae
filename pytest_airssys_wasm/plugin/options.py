"""The command line options and ini keys, in one table. Each option has an ini key of the same stem.

Every run of pytest loads this table. So it has only the names of the parsers, which are imported when a value is given,
an option is a named tuple, which takes a tenth of the time of a dataclass to make, and its annotations are not strings,
which `NamedTuple` would compile.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pytest


class Option(NamedTuple):
    """One setting: its ini key, the flag of the same stem, and the kind of its values."""

    key: str
    help: str
    kind: str | None = None
    """The name of the parser of its values in `option_values`; `None` for a switch."""
    metavar: str | None = None
    """The stand-in for the value in `--help`; for a `choice` the words that are allowed."""
    wanted: str = ""
    """What a `path` should lead to, for messages."""
    has_flag: bool = True
    has_key: bool = True
    """Whether there is an ini key: not for an option that does something else than to run tests."""
    is_list: bool = False
    """Whether the flag may be repeated. The ini value then has one entry per line."""
    must_exist: bool = False
    """Whether the value is a file that has to exist."""
    made_by: str | None = None
    """The key of the switch that creates the file, which then does not have to exist."""

    @property
    def flag(self) -> str:
        """The flag, such as `--wasm-fuel` for `wasm_fuel`."""
        return "--" + self.key.replace("_", "-")

    def parse(self, value: Any, where: str) -> Any:
        """Return the value of the setting for the text of an option that is not a switch.

        Raises `InvalidConfiguration`, which names the source `where`, for a wrong value.
        """
        from pytest_airssys_wasm.plugin import option_values

        if self.kind == "choice":
            return option_values.parse_choice(value, where, str(self.metavar).split("|"))
        if self.kind == "path":
            return option_values.parse_path(value, where, self.wanted)
        return option_values.PARSERS[str(self.kind)](value, where)


OPTIONS = (
    Option(
        key="airssys_wasm",
        help="Validate every Component.toml under the path arguments, and every binary or WAT file that they name. "
        "Without path arguments also run the bundled conformance suite for WebAssembly resource limits.",
    ),
    Option(
        key="wasm_conformance",
        metavar="auto|always|never",
        kind="choice",
        help="When to run the conformance suite: if a path argument names it, as `conformance` or `conformance/fuel`, "
        "or if there are no path arguments (auto, the default), always, or never.",
    ),
    Option(
        key="wasm_component",
        metavar="PATH",
        is_list=True,
        must_exist=True,
        kind="path",
        wanted="the path of a .wasm or .wat file",
        help="Also validate this component or module, under the Component.toml beside it if there is one. Repeatable.",
    ),
    Option(
        key="wasm_init",
        metavar="PATH",
        has_key=False,
        must_exist=True,
        kind="path",
        wanted="the path of a .wasm or .wat file",
        help="Write a Component.toml beside this component or module, with its imports as stubs, limits measured from "
        "its instantiation and first tests, and end. A file that exists is not overwritten.",
    ),
    Option(
        key="wasm_wasi",
        help="Link WASI without any grants for validated binaries that have no Component.toml.",
    ),
    Option(
        key="wasm_runtime",
        metavar="CMD",
        kind="command",
        help="Run the conformance suite against the runtime for which this command starts an adapter "
        "(`python -m pytest_airssys_wasm.docs protocol`).",
    ),
    Option(
        key="wasm_expectations",
        metavar="FILE",
        must_exist=True,
        made_by="wasm_expectations_update",
        kind="path",
        wanted="the path of a .toml file",
        help="A TOML file with the cases that the runtime is known to fail, their findings, and the reasons. "
        "A case that passes although it is listed fails the run, and so does one with another finding.",
    ),
    Option(
        key="wasm_expectations_update",
        help="Update the file of --wasm-expectations with the failures of this run, instead of failing because of "
        "them. Its reasons are kept, and so are the entries of cases that do not run.",
    ),
    Option(
        key="wasm_patience_ms",
        metavar="N",
        kind="duration_ms",
        help="The longest time in ms (3000, '3 s') to wait for the adapter's answer to one request, even where the "
        "timeouts of a case allow more. Useful for a runtime that is known to hang.",
    ),
    Option(
        key="wasm_fuel",
        metavar="N",
        kind="fuel",
        help="The fuel limit of each execution, unless a marker sets one. The ini value gives way to a Component.toml.",
    ),
    Option(
        key="wasm_memory",
        metavar="SIZE",
        kind="size",
        help="The memory limit of each store (1048576, '1 MiB'), unless a marker sets one. The ini value gives way to "
        "a Component.toml. There is no default.",
    ),
    Option(
        key="wasm_timeout_ms",
        metavar="N",
        kind="duration_ms",
        help="The wall-clock limit of each execution in ms (100, '2 s'), unless a marker sets one. The ini value "
        "gives way to a Component.toml.",
    ),
    Option(
        key="wasm_timeout_scale",
        metavar="X",
        kind="scale",
        help="Multiply every wall-clock timeout by X, for slow or busy machines: those of tests, checks and "
        "conformance cases, of compilations and of adapters. Fuel and memory do not change, and "
        "ceilings apply to timeouts before they are multiplied.",
    ),
    Option(
        key="wasm_isolation",
        metavar="thread|process",
        kind="choice",
        help="Where to compile and run components: on threads of this process (thread, the default), or in separate "
        "processes (process), in which compiling a component may take at most 60 s and 1 GiB of memory.",
    ),
    Option(
        key="wasm_cache_dir",
        metavar="DIR",
        kind="path",
        wanted="a directory",
        help="The directory in which compiled components are cached (default: below the user's cache directory).",
    ),
    Option(key="wasm_cache_clear", help="Remove all compiled components from the cache before the run."),
    Option(
        key="wasm_report",
        metavar="FILE",
        is_list=True,
        kind="report",
        help="Write a report of all executions to this file, in the format of its suffix: .json, .md or .html. "
        "Repeatable.",
    ),
    Option(
        key="wasm_report_against",
        metavar="FILE",
        must_exist=True,
        kind="path",
        wanted="the path of a .json report",
        help="Show the differences from this earlier JSON report, in outcomes and costs of the tests that both have: "
        "at the end of the run, and in the .md and .html reports of --wasm-report.",
    ),
    Option(
        key="wasm_summary",
        help="Show at the end of the run how much of its limits each export used, as -v does, and about how long the "
        "fuel of each limit lasts in ordinary code on this machine.",
    ),
    Option(
        key="wasm_fuel_snapshot",
        metavar="check|update|off",
        kind="choice",
        help="Compare what each test costs in fuel and memory with .fuel-snapshot.json in the root directory, and fail "
        "if they differ (check); or write that file (update).",
    ),
    Option(
        key="wasm_fuel_tolerance",
        metavar="PCT",
        kind="tolerance",
        help="The share in percent (2 or 0.5) by which the costs of a test may exceed those of the snapshot, unless "
        "its marker fuel_snapshot sets one (default: 0).",
    ),
    Option(
        key="wasm_profile",
        metavar="DIR",
        kind="path",
        wanted="a directory",
        help="Profile the dearest call of each test, and write to this directory which functions use its fuel: as a "
        "flame graph (.html), for speedscope (.speedscope.json), and as folded stacks (.folded).",
    ),
    Option(
        key="wasm_profile_against",
        metavar="DIR",
        kind="path",
        wanted="an existing directory",
        help="Also write how the profiles of --wasm-profile differ from those of the same tests in this directory, "
        "which an earlier run has written.",
    ),
    Option(
        key="wasm_coverage",
        metavar="DIR",
        kind="path",
        wanted="a directory",
        help="Write to this directory which functions and blocks of each guest the tests reached: as an HTML page, and "
        "as LCOV (.info) with a listing (.txt). All executions of the tests are repeated at the end of the run.",
    ),
    Option(
        key="wasm_suggest_limits",
        metavar="FILE",
        kind="toml",
        help="Write to this TOML file the smallest limits of fuel and memory with which the tests of each component "
        "end the same, and for each limit a test that ends otherwise with one unit less; also a timeout, the headroom, "
        "and what --wasm-laws and --wasm-fuzz have found. All executions of the tests are repeated at the end of the "
        "run.",
    ),
    Option(
        key="wasm_laws",
        help="Check each export of every validated component: find the exact formula for its cost in the sizes of its "
        "arguments. The check fails if another size contradicts the formula, if sizes up to max_size of [fuzz] reach "
        "a limit, or if the formula is dearer than in the snapshot of --wasm-fuel-snapshot, which then has it, too.",
    ),
    Option(
        key="wasm_fuzz",
        metavar="off|quick|ci|nightly",
        kind="fuzz",
        help="Fuzz every component that is validated: call its exports with generated arguments, with sequences of "
        "calls, and under generated limits. quick takes seconds, ci at most a minute a component, nightly ten "
        "minutes (default: off). Needs the extra fuzz.",
    ),
    Option(
        key="wasm_fuzz_seed",
        metavar="N",
        kind="seed",
        help="Choose the generated inputs by a number. Without it, quick and ci have the same inputs in "
        "every run, and nightly has new ones.",
    ),
    Option(
        key="wasm_memory_range",
        has_flag=False,
        kind="memory_range",
        help="The smallest and the largest max_bytes that a Component.toml may declare (default: '512 KiB..4 MiB').",
    ),
    Option(
        key="wasm_require_cpu_limits",
        has_flag=False,
        help="Require every Component.toml to declare max_fuel and a timeout.",
    ),
    Option(
        key="wasm_max_fuel",
        has_flag=False,
        kind="fuel",
        help="The highest fuel limit that any test may have.",
    ),
    Option(
        key="wasm_max_memory",
        has_flag=False,
        kind="size",
        help="The highest memory limit that any test may have.",
    ),
    Option(
        key="wasm_max_timeout_ms",
        has_flag=False,
        kind="duration_ms",
        help="The longest timeout in ms that any test may have.",
    ),
)
"""All options and ini keys, in the order of `pytest --help`."""
LIMITS = ("wasm_fuel", "wasm_memory", "wasm_timeout_ms")
"""The keys of the limits, whose settings also say where they were given."""


def declare(parser: "pytest.Parser") -> None:
    """Register the options and the ini keys with pytest."""
    group = parser.getgroup("airssys-wasm", "WebAssembly components under limits")
    for option in OPTIONS:
        if not option.has_key:
            pass
        elif option.kind is None:
            parser.addini(option.key, option.help, type="bool", default=False)
        elif option.is_list:
            parser.addini(option.key, option.help, type="linelist", default=None)
        else:
            parser.addini(option.key, option.help, type="string", default=None)
        # With `dest`, pytest need not look for the same one among all options, which takes the longest of all.
        if option.has_flag and option.kind is None:
            group.addoption(option.flag, dest=option.key, action="store_true", default=None, help=option.help)
        elif option.has_flag:
            action = "append" if option.is_list else "store"
            group.addoption(
                option.flag, dest=option.key, action=action, metavar=option.metavar, default=None, help=option.help
            )
