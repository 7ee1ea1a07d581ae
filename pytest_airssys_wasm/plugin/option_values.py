"""The values of options: the functions that parse the text of the command line and the ini file, one for each kind, and
those that check paths.

Runs in which an option is set load this module, and each parser imports what it needs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_airssys_wasm.runtime.budget.units import parse_count, parse_duration_ms, parse_fuel, parse_size
from pytest_airssys_wasm.runtime.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Command(NamedTuple):
    """A command line, and the folder in which it is to be run."""

    words: tuple[str, ...]
    folder: Path = Path()

    def __str__(self) -> str:
        import shlex

        return shlex.join(self.words)


def parse_choice(value: Any, where: str, choices: Sequence[str]) -> str:
    """Parse one of these words."""
    if value not in choices:
        refuse(where, value, f"{', '.join(choices[:-1])} or {choices[-1]}")
    return str(value)


def parse_path(value: Any, where: str, wanted: str) -> Path:
    """Parse a path, which should lead to what `wanted` says."""
    if not str(value).strip() or "\0" in str(value):
        refuse(where, value, wanted)
    try:
        return Path(value).expanduser()
    except RuntimeError:  # no home directory is known
        refuse(where, value, f"{wanted} ({Path(value).parts[0]} has no home directory)")


def parse_command(value: Any, where: str) -> Command:
    """Parse a command line, which is split as in a shell."""
    import shlex

    try:
        words = tuple(shlex.split(str(value)))
    except ValueError as error:
        refuse(where, value, f"a command line ({error})")
    if not words or "\0" in str(value):
        refuse(where, value, "a command line")
    return Command(words=words)


def parse_memory_range(value: Any, where: str) -> tuple[int, int]:
    """Parse a range of sizes such as `512 KiB..4 MiB`."""
    from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
    from pytest_airssys_wasm.runtime.manifest import loading

    try:
        return loading.parse_memory_range(value)
    except InvalidConfiguration as error:
        raise InvalidConfiguration(where, value, error.wanted) from None


_MOST_SCALE = 1_000


def parse_scale(value: Any, where: str) -> float:
    """Read a positive number such as `4` or `2.5`."""
    try:
        scale = float(value)
    except ValueError:
        scale = float("nan")
    if not 0 < scale <= _MOST_SCALE:  # not a number is neither
        refuse(where, value, f"a positive number such as 4 or 2.5, at most {_MOST_SCALE:,}")
    return scale


_FUZZ_PROFILES = ("off", "quick", "ci", "nightly")


def parse_fuzz(value: Any, where: str) -> str:
    """Parse a profile of fuzzing: `off`, `quick`, `ci` or `nightly`. All but `off` need the extra `fuzz`."""
    if value not in _FUZZ_PROFILES:
        refuse(where, value, "off, quick, ci or nightly")
    if value != "off":
        from pytest_airssys_wasm.plugin.extras import missing_extra

        if missing := missing_extra("fuzz"):
            refuse(where, value, f"off, because it {missing}")
    return str(value)


def parse_tolerance(value: Any, where: str) -> Any:
    """Parse a share in percent, such as `2 %`."""
    from pytest_airssys_wasm.analysis.snapshots import tolerance

    return tolerance.parse_tolerance(value, where)


def parse_report(value: Any, where: str) -> Path:
    """Parse the path of a report, whose suffix must name a format."""
    from pytest_airssys_wasm.reporting.write import check_path

    path = parse_path(value, where, "the path of a report")
    check_path(path, where)
    return path


def parse_toml(value: Any, where: str) -> Path:
    """Parse the path of a TOML file to be written, which must not be a manifest."""
    wanted = "the path of a .toml file to be written, which is not a Component.toml"
    path = parse_path(value, where, wanted)
    if path.suffix != ".toml" or path.name in ("Component.toml", "pyproject.toml"):
        refuse(where, value, wanted)
    return path


PARSERS: dict[str, Callable[[Any, str], Any]] = {
    "command": parse_command,
    "duration_ms": parse_duration_ms,
    "fuel": parse_fuel,
    "fuzz": parse_fuzz,
    "memory_range": parse_memory_range,
    "report": parse_report,
    "scale": parse_scale,
    "seed": parse_count,
    "size": parse_size,
    "tolerance": parse_tolerance,
    "toml": parse_toml,
}
"""The parsers by the kind of an option, other than `parse_choice` and `parse_path`. Each takes the text and its source,
and raises `InvalidConfiguration`, which names the source, for a wrong value.
"""


def placed(value: Any, base: Path) -> Any:
    """Return a value whose paths, if it has any, are relative to `base` no longer."""
    if isinstance(value, Command):
        return value._replace(folder=base)
    return Path(os.path.normpath(base / value)) if isinstance(value, Path) else value


def check_file(path: Path, where: str) -> None:
    """Raise `InvalidConfiguration` unless there is a file."""
    if not os.path.isfile(path):  # noqa: PTH113 never raises an error
        refuse(where, str(path), "an existing file")


def check_folder(path: Path, where: str) -> None:
    """Raise `InvalidConfiguration` if something else than a directory is where one is to be made."""
    if os.path.lexists(path) and not os.path.isdir(path):  # noqa: PTH112
        refuse(where, str(path), "a directory, which is made if it does not exist")


def check_old_folder(path: Path, where: str) -> None:
    """Raise `InvalidConfiguration` unless there is a directory."""
    if not os.path.isdir(path):  # noqa: PTH112
        refuse(where, str(path), "an existing directory")
