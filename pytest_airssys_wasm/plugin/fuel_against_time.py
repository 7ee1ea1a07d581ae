"""The judgement of fuel limits against timeouts: which of both ends a guest on this machine.

A guest whose timeout comes first ends with one verdict here, and with another one on a faster machine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct

from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.stash import LIMIT_PAIRS
from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.runtime.budget.limit_text import limit_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

_LEAST_FUEL_PER_MS = 100_000
"""The fuel per millisecond that every machine can use. If limits need less, nothing is measured."""
_ROOM = 10
"""The factor by which a timeout is longer than the fuel lasts in ordinary code, so that such code hardly reaches it."""
_MOST_NS_PER_UNIT = 200
"""The longest time that a unit of fuel takes, in nanoseconds, such as where each access misses the caches."""
_MOST_LINES = 5


class _Pair(Struct, kw_only=True):
    """A fuel limit and a timeout that tests or checks have together."""

    fuel: int
    timeout_ms: float
    origins: tuple[str, str]
    """The places where both were set; of several places the first in alphabetical order."""
    items: int

    @property
    def key(self) -> tuple[int, float]:
        """The values of both limits."""
        return self.fuel, self.timeout_ms

    @property
    def is_suspicious(self) -> bool:
        """Whether some machine may not use up the fuel before the timeout."""
        return self.fuel > _LEAST_FUEL_PER_MS * self.timeout_ms


_PAIRS = pytest.StashKey["dict[tuple[int, float], _Pair]"]()
_TOLD = pytest.StashKey["set[tuple[int, float]]"]()
_SPEEDS = pytest.StashKey["dict[str, float]"]()


def note_limits(config: pytest.Config, limits: ResourceLimits, origins: Mapping[str, str]) -> None:
    """Remember the fuel limit and the timeout of a test or check, if they are to be judged when the session ends.

    These are limits whose fuel may outlast the timeout, and with `--wasm-summary` all others.
    """
    if not limits.fuel or not limits.timeout_ms:
        return
    pair = _Pair(
        fuel=limits.fuel,
        timeout_ms=limits.timeout_ms,
        origins=(origins.get("fuel", ""), origins.get("timeout_ms", "")),
        items=1,
    )
    if not pair.is_suspicious and not config.stash[SETTINGS].wasm_summary:
        return
    pairs = config.stash.setdefault(_PAIRS, {})
    _add(pairs, pair)
    output = getattr(config, "workeroutput", None)  # of an xdist worker
    if output is not None:
        output[LIMIT_PAIRS] = [(one.fuel, one.timeout_ms, one.origins, one.items) for one in pairs.values()]


def take_from_worker(config: pytest.Config, output: Mapping[str, Any]) -> None:
    """Take over the limits that an xdist worker has noted."""
    for fuel, timeout_ms, (of_fuel, of_timeout), items in output[LIMIT_PAIRS]:
        pair = _Pair(fuel=fuel, timeout_ms=timeout_ms, origins=(of_fuel, of_timeout), items=items)
        _add(config.stash.setdefault(_PAIRS, {}), pair)


def _add(pairs: dict[tuple[int, float], _Pair], pair: _Pair) -> None:
    known = pairs.setdefault(pair.key, pair)
    if known is not pair:
        known.items += pair.items
        known.origins = min(known.origins, pair.origins)


def session_lines(config: pytest.Config, fuel: int | None, timeout_ms: float | None) -> Iterator[str]:
    """Yield a line for the header if a guest cannot use up the fuel limit of the session before its timeout."""
    if not fuel or not timeout_ms:
        return
    pair = _Pair(fuel=fuel, timeout_ms=timeout_ms, origins=("", ""), items=0)
    text = _timeout_first(config, pair) if pair.is_suspicious else None
    if text is not None:
        config.stash.setdefault(_TOLD, set()).add(pair.key)
        yield f"wasm: {text} ({_speeds_text(config)})"


def lines_at_the_end(config: pytest.Config) -> Iterator[str]:
    """Yield a line for each distinct pair of limits whose timeout comes first, unless the header has told it.

    With `--wasm-summary` there is a line for each of the other pairs, too.
    """
    told = config.stash.get(_TOLD, set())
    pairs = [pair for key, pair in sorted(config.stash.get(_PAIRS, {}).items()) if key not in told]
    found = [(pair, text) for pair in pairs if (text := _text(config, pair)) is not None]
    for pair, text in found[:_MOST_LINES]:
        yield printable(f"wasm: {text}; {counted(pair.items, 'check or test', 'checks and tests')}")
    if len(found) > _MOST_LINES:
        yield f"wasm: and {counted(len(found) - _MOST_LINES, 'other pair')} of fuel limit and timeout"
    if found:
        yield f"wasm: {_speeds_text(config)} on this machine"


def _text(config: pytest.Config, pair: _Pair) -> str | None:
    first = _timeout_first(config, pair) if pair.is_suspicious else None
    if first is not None or not config.stash[SETTINGS].wasm_summary:
        return first
    speeds = _measured(config)
    if not speeds:
        return None
    ordinary_ms = pair.fuel / min(speeds.values())
    lasts = f"{_limit('fuel', pair)} lasts for about {_two_digits(ordinary_ms)} ms in ordinary code"
    timeout = f"the timeout of {_limit('timeout_ms', pair)}"
    if _ROOM * ordinary_ms > pair.timeout_ms:
        return f"{lasts}, so {timeout} may come first on a slower or busier machine"
    if pair.fuel * _MOST_NS_PER_UNIT / 1e6 > pair.timeout_ms:
        return f"{lasts}, and {timeout} ends guests that wait, or whose instructions take long for their fuel"
    return f"{lasts}, and {timeout} only ends guests that wait"


def _timeout_first(config: pytest.Config, pair: _Pair) -> str | None:
    from pytest_airssys_wasm.analysis.speed import BULK

    speeds = _measured(config)
    needed_ms = pair.fuel / max((speed for kind, speed in speeds.items() if kind != BULK), default=math.inf)
    if needed_ms <= pair.timeout_ms:
        return None
    is_bulk_faster = BULK in speeds and pair.fuel / speeds[BULK] <= pair.timeout_ms
    return (
        f"this machine takes about {_two_digits(needed_ms)} ms or more for {_limit('fuel', pair)}, so the timeout "
        f"of {_limit('timeout_ms', pair)} comes first{f', except in {BULK} operations' if is_bulk_faster else ''}"
    )


def _measured(config: pytest.Config) -> dict[str, float]:
    """Return the speeds of this machine, which are measured once; none if no guest can run here."""
    from pytest_airssys_wasm.analysis import speed
    from pytest_airssys_wasm.runtime.errors import WasmError

    if _SPEEDS not in config.stash:
        try:
            config.stash[_SPEEDS] = speed.fuel_per_ms()
        except (OSError, WasmError):  # the tests will say what keeps guests from running here
            config.stash[_SPEEDS] = {}
    return config.stash[_SPEEDS]


def _limit(name: str, pair: _Pair) -> str:
    if name == "fuel":
        text, origin = f"{limit_text(name, pair.fuel)} fuel", pair.origins[0]
    else:
        text, origin = limit_text(name, pair.timeout_ms), pair.origins[1]
    return f"{text} ({origin})" if origin else text


def _speeds_text(config: pytest.Config) -> str:
    return f"fuel per ms: {', '.join(f'{kind} {_two_digits(speed)}' for kind, speed in _measured(config).items())}"


def _two_digits(number: float) -> str:
    """Round to two significant digits, because further ones vary from run to run."""
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.0f}" if rounded >= 1 else f"{rounded:g}"
