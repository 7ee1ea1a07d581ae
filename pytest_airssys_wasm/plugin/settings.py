"""The settings of the command line and the ini file, read once into `Settings`.

A value on the command line wins over the one in the ini file. Every value is checked when pytest starts, so that a
wrong value is a usage error even in a run that does not use it. Every run of pytest loads this module: see `options`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.plugin.options import LIMITS, OPTIONS

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from pytest_airssys_wasm.plugin.given import Given
    from pytest_airssys_wasm.plugin.option_values import Command
    from pytest_airssys_wasm.plugin.options import Option
    from pytest_airssys_wasm.runtime.budget.limits import Ceilings


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
        stated = {key.removeprefix("wasm_"): getattr(self, key) for key in LIMITS}
        return {
            name: one
            for name, one in stated.items()
            if one is not None and one.is_from_command_line is from_command_line
        }

    def default_limits(self) -> dict[str, Given]:
        """Return the built-in default limits. Nobody asked for them, so a lower ceiling lowers them."""
        from pytest_airssys_wasm.plugin.given import Given
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


def read_settings(config: pytest.Config) -> Settings:
    """Return the settings of a session, after checking each value.

    Raises `pytest.UsageError`, which names the option or the ini key, for a wrong value.
    """
    written = {option.key: text for option in OPTIONS if (text := _written(config, option)) is not None}
    if not written:
        return Settings()
    from pytest_airssys_wasm.plugin import given

    return Settings(**given.checked_values(config, written))


def _written(config: pytest.Config, option: Option) -> tuple[Any, str] | None:
    """Return what is set for an option, and where; `None` if nothing is, or if it is a switch that is off."""
    value, where = (config.getoption(option.flag), option.flag) if option.has_flag else (None, "")
    if value is None and option.has_key:
        where = f"ini value {option.key}"
        try:
            value = config.getini(option.key)
        except (ValueError, TypeError, pytest.UsageError) as error:  # pytest's own parsing; some name no key
            raise pytest.UsageError(f"{where}: {error}") from None
    return None if value is None or value is False else (value, where)
