"""Command line options and ini keys: declared in one table, resolved once into `Settings`.

A value on the command line wins over the ini file. Every value is checked when pytest starts, so that a wrong
one is a usage error even in a run whose tests would not have needed it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pytest

from pytest_airssys_wasm.plugin.option_values import (
    Command,
    parse_command,
    parse_expectations,
    parse_file,
    parse_folder,
    parse_isolation,
    parse_memory_range,
    parse_report,
)
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.limits import parse_duration_ms, parse_fuel, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given(Generic[T]):
    """A value that somebody gave, and where: for messages."""

    value: T
    where: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line and the ini file say, checked. `None` where they say nothing."""

    airssys_wasm: bool = False
    wasm_component: tuple[Path, ...] = ()
    wasm_runtime: Command | None = None
    wasm_expectations: Path | None = None
    wasm_patience_ms: float | None = None
    wasm_fuel: Given[int] | None = None
    wasm_memory: Given[int] | None = None
    wasm_timeout_ms: Given[float] | None = None
    wasm_isolation: str | None = None
    wasm_report: tuple[Path, ...] = ()
    wasm_summary: bool = False
    wasm_cache_dir: Path | None = None
    wasm_cache_clear: bool = False
    wasm_memory_range: tuple[int, int] | None = None
    wasm_require_cpu_limits: bool = False
    wasm_max_fuel: int | None = None
    wasm_max_memory: int | None = None
    wasm_max_timeout_ms: float | None = None
    flags: tuple[str, ...] = field(default=())
    """Limits and isolation on the command line, as they were written there: for commands that reproduce a test."""
    runs_suite: bool = False
    """`--airssys-wasm`, or `--wasm-runtime` on the command line: in the ini file that only says which."""


SETTINGS = pytest.StashKey[Settings]()

_LIMITS = ("wasm_fuel", "wasm_memory", "wasm_timeout_ms")


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


def read_settings(config: pytest.Config) -> Settings:
    """Command line over ini file, every value checked, limits against their ceilings.

    Raises `pytest.UsageError` naming the option or the ini key.
    """
    try:
        given = {option.key: _given(config, option) for option in OPTIONS}
        settings = _collect(config, given)
        for key in _LIMITS:
            limit = getattr(settings, key)
            if limit is not None:
                check_ceiling(settings, key.removeprefix("wasm_"), limit.value, limit.where)
    except InvalidConfiguration as error:
        raise pytest.UsageError(str(error)) from None
    return settings


class OverCeiling(InvalidConfiguration):
    """A limit asks for more than the ini file lets any test have."""


def check_ceiling(settings: Settings, limit: str, value: float | None, where: str) -> None:
    """Raise `OverCeiling` when `fuel`, `memory` or `timeout_ms` is over the ceiling in the ini file."""
    key = f"wasm_max_{limit}"
    ceiling = getattr(settings, key)
    if ceiling is not None and (value is None or value > ceiling):
        asked: object = "unlimited" if value is None else value
        raise OverCeiling(where, asked, f"at most {ceiling:,} (the ceiling {key} of the ini file)")


def _given(config: pytest.Config, option: Option) -> Given[Any] | None:
    value, where = (config.getoption(option.flag), option.flag) if option.has_flag else (None, "")
    if value is None:
        value, where = _ini(config, option.key), f"ini value {option.key}"
    if value is None or option.parse is None:
        return None if value is None else Given(value=value, where=where)
    parsed = [option.parse(one, where) for one in (value if option.is_list else [value])]
    is_from_ini = where != option.flag and config.inipath is not None
    base = config.inipath.parent if is_from_ini and config.inipath else config.invocation_params.dir
    # Paths are relative to where they were written.
    placed = [_placed(one, base) for one in parsed]
    for one in placed if option.must_exist else ():
        if not one.is_file():
            raise InvalidConfiguration(where, str(one), "a file that is there")
    return Given(value=tuple(placed) if option.is_list else placed[0], where=where)


def _placed(value: Any, base: Path) -> Any:
    if isinstance(value, Command):
        return replace(value, folder=base)
    return Path(os.path.normpath(base / value)) if isinstance(value, Path) else value


def _ini(config: pytest.Config, key: str) -> Any:
    try:
        return config.getini(key)
    except (ValueError, TypeError, pytest.UsageError) as error:  # pytest's own parsing; some name no key
        raise pytest.UsageError(f"ini value {key}: {error}") from None


def _collect(config: pytest.Config, given: dict[str, Given[Any] | None]) -> Settings:
    said = {key: one for key, one in given.items() if one is not None}
    values: dict[str, Any] = {key: one if key in _LIMITS else one.value for key, one in said.items()}
    values["flags"] = tuple(
        text
        for option in OPTIONS
        if option.key in (*_LIMITS, "wasm_isolation") and config.getoption(option.flag) is not None
        for text in (option.flag, str(config.getoption(option.flag)))
    )
    values["runs_suite"] = values.get("airssys_wasm", False) or config.getoption("--wasm-runtime") is not None
    return Settings(**values)
