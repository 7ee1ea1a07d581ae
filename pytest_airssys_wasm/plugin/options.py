"""The command line options and ini keys, in one table. Each option has an ini key of the same stem.

Every run of pytest loads this table. So its parsers import what they need when a value is given, its classes are named
tuples, which take a tenth of the time of dataclasses to make, and their annotations are not strings, which
`NamedTuple` would compile.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_airssys_wasm.plugin.option_values import (
    parse_command,
    parse_duration_ms,
    parse_fuel,
    parse_fuzz,
    parse_memory_range,
    parse_report,
    parse_scale,
    parse_seed,
    parse_size,
    parse_tolerance,
    parse_toml,
    refuse,
)

if TYPE_CHECKING:
    import pytest


class Option(NamedTuple):
    """One setting: its ini key, the flag of the same stem, and the function that parses its text."""

    key: str
    help: str
    parse: Callable[[Any, str], Any] | None = None
    """The function that converts the text of the option and its source, for messages, to the value of the setting;
    `None` for a switch.
    """
    metavar: str | None = None
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


def _parse_choice(*choices: str) -> Callable[[Any, str], str]:
    """Return a parser that accepts one of these words."""

    def parse(value: Any, where: str) -> str:
        if value not in choices:
            refuse(where, value, f"{', '.join(choices[:-1])} or {choices[-1]}")
        return str(value)

    return parse


def _parse_path(wanted: str) -> Callable[[Any, str], Path]:
    """Return a parser of paths. Messages say with `wanted` what the path should lead to."""

    def parse(value: Any, where: str) -> Path:
        if not str(value).strip():
            refuse(where, value, wanted)
        return Path(value).expanduser()

    return parse


OPTIONS = (
    Option(
        key="airssys_wasm",
        help="Validate every Component.toml under the path arguments, and every binary or WAT file that they name. "
        "Without path arguments also run the bundled conformance suite for WebAssembly resource limits.",
    ),
    Option(
        key="wasm_conformance",
        metavar="auto|always|never",
        parse=_parse_choice("auto", "always", "never"),
        help="When to run the conformance suite: if a path argument names it, as `conformance` or `conformance/fuel`, "
        "or if there are no path arguments (auto, the default), always, or never.",
    ),
    Option(
        key="wasm_component",
        metavar="PATH",
        is_list=True,
        must_exist=True,
        parse=_parse_path("the path of a .wasm or .wat file"),
        help="Also validate this component or module, under the Component.toml beside it if there is one. Repeatable.",
    ),
    Option(
        key="wasm_init",
        metavar="PATH",
        has_key=False,
        must_exist=True,
        parse=_parse_path("the path of a .wasm or .wat file"),
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
        parse=parse_command,
        help="Run the conformance suite against the runtime for which this command starts an adapter "
        "(`python -m pytest_airssys_wasm.docs protocol`).",
    ),
    Option(
        key="wasm_expectations",
        metavar="FILE",
        must_exist=True,
        made_by="wasm_expectations_update",
        parse=_parse_path("the path of a .toml file"),
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
        parse=parse_duration_ms,
        help="The longest time in ms (3000, '3 s') to wait for the adapter's answer to one request, even where the "
        "timeouts of a case allow more. Useful for a runtime that is known to hang.",
    ),
    Option(
        key="wasm_fuel",
        metavar="N",
        parse=parse_fuel,
        help="The fuel limit of each execution, unless a marker sets one. The ini value gives way to a Component.toml.",
    ),
    Option(
        key="wasm_memory",
        metavar="SIZE",
        parse=parse_size,
        help="The memory limit of each store (1048576, '1 MiB'), unless a marker sets one. The ini value gives way to "
        "a Component.toml. There is no default.",
    ),
    Option(
        key="wasm_timeout_ms",
        metavar="N",
        parse=parse_duration_ms,
        help="The wall-clock limit of each execution in ms (100, '2 s'), unless a marker sets one. The ini value "
        "gives way to a Component.toml.",
    ),
    Option(
        key="wasm_timeout_scale",
        metavar="X",
        parse=parse_scale,
        help="Multiply every wall-clock timeout by X, for slow or busy machines: those of tests, checks and "
        "conformance cases, of compilations and of adapters. Fuel and memory do not change, and "
        "ceilings apply to timeouts before they are multiplied.",
    ),
    Option(
        key="wasm_isolation",
        metavar="thread|process",
        parse=_parse_choice("thread", "process"),
        help="Where to compile and run components: on threads of this process (thread, the default), or in separate "
        "processes (process), in which compiling a component may take at most 60 s and 1 GiB of memory.",
    ),
    Option(
        key="wasm_cache_dir",
        metavar="DIR",
        parse=_parse_path("a directory"),
        help="The directory in which compiled components are cached (default: below the user's cache directory).",
    ),
    Option(key="wasm_cache_clear", help="Remove all compiled components from the cache before the run."),
    Option(
        key="wasm_report",
        metavar="FILE",
        is_list=True,
        parse=parse_report,
        help="Write a report of all executions to this file, in the format of its suffix: .json, .md or .html. "
        "Repeatable.",
    ),
    Option(
        key="wasm_report_against",
        metavar="FILE",
        must_exist=True,
        parse=_parse_path("the path of a .json report"),
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
        parse=_parse_choice("check", "update", "off"),
        help="Compare what each test costs in fuel and memory with .fuel-snapshot.json in the root directory, and fail "
        "if they differ (check); or write that file (update).",
    ),
    Option(
        key="wasm_fuel_tolerance",
        metavar="PCT",
        parse=parse_tolerance,
        help="The share in percent (2 or 0.5) by which the costs of a test may exceed those of the snapshot, unless "
        "its marker fuel_snapshot sets one (default: 0).",
    ),
    Option(
        key="wasm_profile",
        metavar="DIR",
        parse=_parse_path("a directory"),
        help="Profile the dearest call of each test, and write to this directory which functions use its fuel: as a "
        "flame graph (.html), for speedscope (.speedscope.json), and as folded stacks (.folded).",
    ),
    Option(
        key="wasm_profile_against",
        metavar="DIR",
        parse=_parse_path("an existing directory"),
        help="Also write how the profiles of --wasm-profile differ from those of the same tests in this directory, "
        "which an earlier run has written.",
    ),
    Option(
        key="wasm_coverage",
        metavar="DIR",
        parse=_parse_path("a directory"),
        help="Write to this directory which functions and blocks of each guest the tests reached: as an HTML page, and "
        "as LCOV (.info) with a listing (.txt). All executions of the tests are repeated at the end of the run.",
    ),
    Option(
        key="wasm_suggest_limits",
        metavar="FILE",
        parse=parse_toml,
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
        parse=parse_fuzz,
        help="Fuzz every component that is validated: call its exports with generated arguments, with sequences of "
        "calls, and under generated limits. quick takes seconds, ci at most a minute a component, nightly ten "
        "minutes (default: off). Needs the extra fuzz.",
    ),
    Option(
        key="wasm_fuzz_seed",
        metavar="N",
        parse=parse_seed,
        help="Choose the generated inputs by a number. Without it, quick and ci have the same inputs in "
        "every run, and nightly has new ones.",
    ),
    Option(
        key="wasm_memory_range",
        has_flag=False,
        parse=parse_memory_range,
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
        parse=parse_fuel,
        help="The highest fuel limit that any test may have.",
    ),
    Option(
        key="wasm_max_memory",
        has_flag=False,
        parse=parse_size,
        help="The highest memory limit that any test may have.",
    ),
    Option(
        key="wasm_max_timeout_ms",
        has_flag=False,
        parse=parse_duration_ms,
        help="The longest timeout in ms that any test may have.",
    ),
)
"""All options and ini keys, in the order of `pytest --help`."""


def declare(parser: "pytest.Parser") -> None:
    """Register the options and the ini keys with pytest."""
    group = parser.getgroup("airssys-wasm", "WebAssembly components under limits")
    for option in OPTIONS:
        if not option.has_key:
            pass
        elif option.parse is None:
            parser.addini(option.key, option.help, type="bool", default=False)
        elif option.is_list:
            parser.addini(option.key, option.help, type="linelist", default=None)
        else:
            parser.addini(option.key, option.help, type="string", default=None)
        # With `dest`, pytest need not look for the same one among all options, which takes the longest of all.
        if option.has_flag and option.parse is None:
            group.addoption(option.flag, dest=option.key, action="store_true", default=None, help=option.help)
        elif option.has_flag:
            action = "append" if option.is_list else "store"
            group.addoption(
                option.flag, dest=option.key, action=action, metavar=option.metavar, default=None, help=option.help
            )
