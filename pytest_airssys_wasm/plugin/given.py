"""What the command line and the ini file set, checked in runs in which they set something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_airssys_wasm.plugin.option_values import check_file, check_folder, check_old_folder, placed
from pytest_airssys_wasm.plugin.options import LIMITS, OPTIONS
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_airssys_wasm.plugin.options import Option


class Given(NamedTuple):
    """A value with its source, such as `--wasm-fuel`, for messages."""

    value: Any
    where: str
    is_from_command_line: bool = False
    """Whether the value was given on the command line, and not in the ini file."""


_REPRODUCING = (*LIMITS, "wasm_timeout_scale", "wasm_isolation", "wasm_fuzz", "wasm_fuzz_seed")
"""The options that commands which reproduce a test have."""


def checked_values(config: pytest.Config, written: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
    """Return the fields of `Settings` for what is set for each key, and where.

    Raises `pytest.UsageError`, which names the option or the ini key, for a wrong value.
    """
    try:
        given = {
            option.key: _given(config, option, *written[option.key], written)
            for option in OPTIONS
            if option.key in written
        }
        _check_together(given)
    except InvalidConfiguration as error:
        raise pytest.UsageError(str(error)) from None
    values: dict[str, Any] = {key: one if key in LIMITS else one.value for key, one in given.items()}
    values["flags"] = tuple(
        text
        for option in OPTIONS
        if option.key in _REPRODUCING and config.getoption(option.flag) is not None
        for text in (option.flag, str(config.getoption(option.flag)))
    )
    values["may_run_suite"] = (
        "airssys_wasm" in given
        or config.getoption("--wasm-runtime") is not None
        or config.getoption("--wasm-conformance") == "always"
    )
    return values


def _given(config: pytest.Config, option: Option, text: Any, where: str, written: Mapping[str, Any]) -> Given:
    is_from_command_line = option.has_flag and where == option.flag
    if option.kind is None:
        return Given(value=text, where=where, is_from_command_line=is_from_command_line)
    parsed = [option.parse(one, where) for one in (text if option.is_list else [text])]
    # Paths are relative to where they were written.
    inifile = None if is_from_command_line else config.inipath
    base = config.invocation_params.dir if inifile is None else inifile.parent
    found = [placed(one, base) for one in parsed]
    if option.must_exist and option.made_by not in written:
        for one in found:
            check_file(one, where)
    return Given(
        value=tuple(found) if option.is_list else found[0], where=where, is_from_command_line=is_from_command_line
    )


def _check_together(given: Mapping[str, Given]) -> None:
    """Raise `InvalidConfiguration` for a folder that cannot be used, and for an option that needs another one."""
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
