"""Command line options and ini keys: declared in one table, a flag and an ini key of the same stem for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.plugin.option_values import (
    parse_command,
    parse_expectations,
    parse_file,
    parse_folder,
    parse_isolation,
    parse_memory_range,
    parse_report,
)
from pytest_airssys_wasm.runtime.budget.limits import parse_duration_ms, parse_fuel, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting: its ini key, the flag of the same stem, and how its text is read."""

    key: str
    help: str
    parse: Callable[[Any, str], Any] | None = None
    """From what was given and where; `None` for a switch."""
    metavar: str | None = None
    has_flag: bool = True
    is_list: bool = False
    """Whether it may be given several times, and one a line in the ini file."""
    must_exist: bool = False
    """Whether it is a file that has to be there."""

    @property
    def flag(self) -> str:
        """`--wasm-fuel` for `wasm_fuel`."""
        return "--" + self.key.replace("_", "-")


OPTIONS = (
    Option(
        key="airssys_wasm",
        help="Run the bundled conformance suite of WebAssembly resource limits, and validate every Component.toml "
        "under the arguments.",
    ),
    Option(
        key="wasm_component",
        metavar="PATH",
        is_list=True,
        must_exist=True,
        parse=parse_file,
        help="Validate this component or module too, with the Component.toml beside it where there is one. Repeatable.",
    ),
    Option(
        key="wasm_runtime",
        metavar="CMD",
        parse=parse_command,
        help="Run the conformance suite against the runtime behind this adapter (docs/protocol.md).",
    ),
    Option(
        key="wasm_expectations",
        metavar="FILE",
        must_exist=True,
        parse=parse_expectations,
        help="The cases that the runtime is known to fail, with reasons. One of them that passes fails the run.",
    ),
    Option(
        key="wasm_patience_ms",
        metavar="N",
        parse=parse_duration_ms,
        help="The most that the runtime behind the adapter may take for one request, in ms (3000, '3 s'), where the "
        "timeouts of its steps allow more: for one that is known to hang.",
    ),
    Option(
        key="wasm_fuel",
        metavar="N",
        parse=parse_fuel,
        help="Fuel of each execution, where no marker gives one.",
    ),
    Option(
        key="wasm_memory",
        metavar="SIZE",
        parse=parse_size,
        help="Memory of each store (1048576, '1 MiB'), where no marker gives one. There is no default.",
    ),
    Option(
        key="wasm_timeout_ms",
        metavar="N",
        parse=parse_duration_ms,
        help="Wall clock of each execution in ms (100, '2 s'), where no marker gives one.",
    ),
    Option(
        key="wasm_isolation",
        metavar="thread|process",
        parse=parse_isolation,
        help="Where components are compiled and run (default: thread). With process, in processes of their own; "
        "compiling one may take 60 s and 1 GiB.",
    ),
    Option(
        key="wasm_cache_dir",
        metavar="DIR",
        parse=parse_folder,
        help="Where compiled components are kept (default: the user's cache folder).",
    ),
    Option(key="wasm_cache_clear", help="Remove the compiled components from the cache before the run."),
    Option(
        key="wasm_report",
        metavar="FILE",
        is_list=True,
        parse=parse_report,
        help="Write every execution to this file: .json, .md or .html. Repeatable.",
    ),
    Option(key="wasm_summary", help="Show what each export used of its limits, also without -v."),
    Option(
        key="wasm_memory_range",
        has_flag=False,
        parse=parse_memory_range,
        help="What a Component.toml may ask for as memory (default: '512 KiB..4 MiB').",
    ),
    Option(
        key="wasm_require_cpu_limits",
        has_flag=False,
        help="Whether every Component.toml must state max_fuel and a timeout.",
    ),
    Option(key="wasm_max_fuel", has_flag=False, parse=parse_fuel, help="The most fuel that any test may ask for."),
    Option(
        key="wasm_max_memory",
        has_flag=False,
        parse=parse_size,
        help="The most memory that any test may ask for.",
    ),
    Option(
        key="wasm_max_timeout_ms",
        has_flag=False,
        parse=parse_duration_ms,
        help="The longest timeout in ms that any test may ask for.",
    ),
)


def declare(parser: pytest.Parser) -> None:
    """Offer the options and the ini keys to pytest."""
    group = parser.getgroup("airssys-wasm", "WebAssembly components under limits")
    for option in OPTIONS:
        if option.parse is None:
            parser.addini(option.key, option.help, type="bool", default=False)
        elif option.is_list:
            parser.addini(option.key, option.help, type="linelist", default=None)
        else:
            parser.addini(option.key, option.help, type="string", default=None)
        if option.has_flag and option.parse is None:
            group.addoption(option.flag, action="store_true", default=None, help=option.help)
        elif option.has_flag:
            action = "append" if option.is_list else "store"
            group.addoption(option.flag, action=action, metavar=option.metavar, default=None, help=option.help)
