"""The settings of the command line and the ini file, read once into `Settings`.

A value on the command line wins over the one in the ini file. Every value is checked when pytest starts, so that a
wrong value is a usage error even in a run that does not use it. Every run of pytest loads this module: see `options`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_airssys_wasm.plugin.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction
    from pathlib import Path

    from pytest_airssys_wasm.plugin.option_values import Command
    from pytest_airssys_wasm.plugin.options import Option
    from pytest_airssys_wasm.runtime.budget.limits import Ceilings


class Given(NamedTuple):
    """A value with its source, such as `--wasm-fuel`, for messages."""

    value: Any
    where: str
    is_from_command_line: bool = False
    """Whether the value was given on the command line, and not in the ini file."""


class Settings:
    """The checked values of the command line and the ini file, which never change. A value that neither sets is `None`.

    A named tuple with so many fields takes ten times as long to define, and a dataclass longer.
    """

    airssys_wasm: bool = False
    wasm_conformance: str = "auto"
    wasm_component: tuple[Path, ...] = ()
    wasm_init: Path | None = None
    wasm_wasi: bool = False
    wasm_runtime: Command | None = None
    wasm_expectations: Path | None = None
    wasm_expectations_update: bool = False
    wasm_patience_ms: float | None = None
    wasm_fuel: Given | None = None
    wasm_memory: Given | None = None
    wasm_timeout_ms: Given | None = None
    wasm_timeout_scale: float = 1.0
    wasm_isolation: str | None = None
    wasm_report: tuple[Path, ...] = ()
    wasm_report_against: Path | None = None
    wasm_summary: bool = False
    wasm_fuel_snapshot: str | None = None
    wasm_fuel_tolerance: Fraction | None = None
    wasm_profile: Path | None = None
    wasm_profile_against: Path | None = None
    wasm_coverage: Path | None = None
    wasm_suggest_limits: Path | None = None
    wasm_laws: bool = False
    wasm_cache_dir: Path | None = None
    wasm_cache_clear: bool = False
    wasm_fuzz: str = "off"
    wasm_fuzz_seed: int | None = None
    wasm_memory_range: tuple[int, int] | None = None
    wasm_require_cpu_limits: bool = False
    wasm_max_fuel: int | None = None
    wasm_max_memory: int | None = None
    wasm_max_timeout_ms: float | None = None
    flags: tuple[str, ...] = ()
    """The limits, the scale of timeouts and the isolation as they were written on the command line, for commands that
    reproduce a test."""
    may_run_suite: bool = False
    """Whether the suite runs if the arguments select it: with `--airssys-wasm`, or with `--wasm-runtime` or
    `--wasm-conformance=always` on the command line.

    `wasm_runtime` in the ini file only selects the runtime.
    """

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    @property
    def are_defaults(self) -> bool:
        """Whether all values are as if nothing were set."""
        return all(value == getattr(type(self), key) for key, value in vars(self).items())

    @property
    def makes_items(self) -> bool:
        """Whether the plugin adds items of its own to the run: cases, or checks of components."""
        return self.may_run_suite or self.airssys_wasm or bool(self.wasm_component)

    @property
    def has_ceilings(self) -> bool:
        """Whether the ini file sets a ceiling."""
        return (self.wasm_max_fuel, self.wasm_max_memory, self.wasm_max_timeout_ms) != (None, None, None)

    @property
    def ceilings(self) -> Ceilings:
        """The ceilings of the ini file, for limits whose timeout is scaled already."""
        from pytest_airssys_wasm.runtime.budget.limits import Ceilings

        timeout_ms = self.wasm_max_timeout_ms
        return Ceilings(
            fuel=self.wasm_max_fuel,
            memory=self.wasm_max_memory,
            timeout_ms=None if timeout_ms is None else timeout_ms * self.wasm_timeout_scale,
        )

    def limits(self, *, from_command_line: bool) -> dict[str, Given]:
        """Return the limits that the command line gives, or those that only the ini file gives, by their names."""
        stated = {key.removeprefix("wasm_"): getattr(self, key) for key in _LIMITS}
        return {
            name: one
            for name, one in stated.items()
            if one is not None and one.is_from_command_line is from_command_line
        }

    def default_limits(self) -> dict[str, Given]:
        """Return the built-in default limits. Nobody asked for them, so a lower ceiling lowers them."""
        from pytest_airssys_wasm.runtime.budget.limit_text import DEFAULT_FUEL, DEFAULT_TIMEOUT_MS

        built_in: dict[str, float] = {"fuel": DEFAULT_FUEL, "timeout_ms": DEFAULT_TIMEOUT_MS}
        found = {}
        for name, value in built_in.items():
            ceiling = getattr(self, f"wasm_max_{name}")
            is_lowered = ceiling is not None and ceiling < value
            found[name] = Given(
                value=ceiling if is_lowered else value,
                where=f"the ceiling wasm_max_{name} of the ini file" if is_lowered else DEFAULT,
            )
        return found


DEFAULT = "the built-in default"
"""The place that messages name for a limit that was not set anywhere."""

SETTINGS = pytest.StashKey[Settings]()
"""The key of the settings in `config.stash`."""

_LIMITS = ("wasm_fuel", "wasm_memory", "wasm_timeout_ms")


def read_settings(config: pytest.Config) -> Settings:
    """Return the settings of a session, after checking each value.

    Raises `pytest.UsageError`, which names the option or the ini key, for a wrong value.
    """
    try:
        given = {option.key: one for option in OPTIONS if (one := _given(config, option)) is not None}
        if given:
            _check_together(given)
        return _collect(config, given)
    except ValueError as error:
        from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

        if not isinstance(error, InvalidConfiguration):
            raise
        raise pytest.UsageError(str(error)) from None


def _given(config: pytest.Config, option: Option) -> Given | None:
    value, where = (config.getoption(option.flag), option.flag) if option.has_flag else (None, "")
    if value is None and option.has_key:
        value, where = _ini(config, option.key), f"ini value {option.key}"
    if value is None or value is False:  # a switch that is off is as good as none
        return None
    is_from_command_line = option.has_flag and where == option.flag
    if option.kind is None:
        return Given(value=value, where=where, is_from_command_line=is_from_command_line)
    from pytest_airssys_wasm.plugin import option_values

    is_from_ini = not is_from_command_line and config.inipath is not None
    base = config.inipath.parent if is_from_ini and config.inipath else config.invocation_params.dir
    # Paths are relative to where they were written.
    parsed = [option.parse(one, where) for one in (value if option.is_list else [value])]
    placed = [option_values.placed(one, base) for one in parsed]
    if option.must_exist and not (option.made_by and _is_on(config, option.made_by)):
        for one in placed:
            option_values.check_file(one, where)
    return Given(
        value=tuple(placed) if option.is_list else placed[0],
        where=where,
        is_from_command_line=is_from_command_line,
    )


def _check_together(given: Mapping[str, Given]) -> None:
    """Raise `InvalidConfiguration` for a folder that cannot be used, and for an option that needs another one."""
    from pytest_airssys_wasm.plugin.option_values import check_folder, check_old_folder
    from pytest_airssys_wasm.runtime.refusal import refuse

    if "wasm_expectations_update" in given and "wasm_expectations" not in given:
        refuse("--wasm-expectations-update", "no file", "--wasm-expectations FILE beside it")
    for key in ("wasm_coverage", "wasm_profile"):
        if key in given:
            check_folder(given[key].value, given[key].where)
    against = given.get("wasm_profile_against")
    if against is not None:
        check_old_folder(against.value, against.where)
        if "wasm_profile" not in given:
            refuse(against.where, str(against.value), "--wasm-profile DIR beside it")


def _is_on(config: pytest.Config, key: str) -> bool:
    """Return whether a switch is on, on the command line or in the ini file."""
    return bool(config.getoption("--" + key.replace("_", "-")) or _ini(config, key))


def _ini(config: pytest.Config, key: str) -> Any:
    try:
        return config.getini(key)
    except (ValueError, TypeError, pytest.UsageError) as error:  # pytest's own parsing; some name no key
        raise pytest.UsageError(f"ini value {key}: {error}") from None


def _collect(config: pytest.Config, given: Mapping[str, Given]) -> Settings:
    values: dict[str, Any] = {key: one if key in _LIMITS else one.value for key, one in given.items()}
    flags = tuple(
        text
        for option in OPTIONS
        if option.key in _REPRODUCING and option.key in given and config.getoption(option.flag) is not None
        for text in (option.flag, str(config.getoption(option.flag)))
    )
    if flags:
        values["flags"] = flags
    if (
        "airssys_wasm" in given
        or config.getoption("--wasm-runtime") is not None
        or config.getoption("--wasm-conformance") == "always"
    ):
        values["may_run_suite"] = True
    return Settings(**values)


_REPRODUCING = (*_LIMITS, "wasm_timeout_scale", "wasm_isolation", "wasm_fuzz", "wasm_fuzz_seed")
"""The options that commands which reproduce a test have."""
