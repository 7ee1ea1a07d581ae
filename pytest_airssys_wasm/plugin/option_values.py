"""The values of options: the functions that parse the text of the command line and the ini file, one for each kind.

Every run of pytest loads this module, so they import what they need when a value is given: see `options`.
"""

from pathlib import Path
from typing import Any, NamedTuple, NoReturn


class Command(NamedTuple):
    """A command line, and the folder in which it is to be run."""

    words: tuple[str, ...]
    folder: Path = Path()

    def __str__(self) -> str:
        import shlex

        return shlex.join(self.words)


def refuse(where: str, value: Any, wanted: str) -> NoReturn:
    """Raise the `InvalidConfiguration` for a value that should be what `wanted` says."""
    from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

    raise InvalidConfiguration(where, value, wanted) from None


def parse_fuel(value: Any, where: str) -> int:
    """Parse a number of units of fuel."""
    from pytest_airssys_wasm.runtime.budget import units

    return units.parse_fuel(value, where)


def parse_size(value: Any, where: str) -> int:
    """Parse a size in bytes, such as `1 MiB`."""
    from pytest_airssys_wasm.runtime.budget import units

    return units.parse_size(value, where)


def parse_duration_ms(value: Any, where: str) -> float:
    """Parse a duration in milliseconds, such as `2 s`."""
    from pytest_airssys_wasm.runtime.budget import units

    return units.parse_duration_ms(value, where)


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


def parse_seed(value: Any, where: str) -> int:
    """Parse a seed, a whole number from 0 to 2**64 - 1."""
    from pytest_airssys_wasm.runtime.budget.units import parse_count

    return parse_count(value, where)


def parse_tolerance(value: Any, where: str) -> Any:
    """Parse a share in percent, such as `2 %`."""
    from pytest_airssys_wasm.analysis.snapshots import tolerance

    return tolerance.parse_tolerance(value, where)


def parse_report(value: Any, where: str) -> Path:
    """Parse the path of a report, whose suffix must name a format."""
    from pytest_airssys_wasm.reporting.write import check_path

    path = Path(value).expanduser()
    check_path(path, where)
    return path


def parse_toml(value: Any, where: str) -> Path:
    """Parse the path of a TOML file to be written, which must not be a manifest."""
    path = Path(value).expanduser()
    if path.suffix != ".toml" or path.name in ("Component.toml", "pyproject.toml"):
        refuse(where, value, "the path of a .toml file to be written, which is not a Component.toml")
    return path
