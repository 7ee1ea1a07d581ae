"""The lines of the file of `--wasm-suggest-limits` about headroom, timeouts, worst cases and laws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.analysis.limit_evidence import first_size_over, laws_of, suggested_timeout
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.validation.placeholders import toml_string

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_airssys_wasm.analysis.limit_evidence import Evidence, Longest, SuggestedTimeout
    from pytest_airssys_wasm.analysis.suggestions import Found

_THOUSAND = 1_000


def needs_beyond(evidence: Evidence, name: str, found: Found) -> Iterator[str]:
    """Yield a sentence about each export whose calls use more than the witness of a limit: worst cases, then laws."""
    for export, dearest in sorted(evidence.dearest.items()):
        if dearest.most(name) > found.used:
            more = " or more" if dearest.ended_by else ""
            yield f"worst-case[{printable(export)}] has found a call that uses {dearest.most(name):,}{more}"
    for export, law in laws_of(evidence).items():
        size = first_size_over(law, name, found.used)
        if size is not None:
            (unit,) = law.sizes
            yield f"law[{printable(export)}] uses more than the tests from {unit} = {size:,} on ({law.meanings[unit]})"


def timeout_lines(longest: Longest) -> Iterator[str]:
    """Yield the key of the timeout, with a comment that says where it comes from."""
    suggested = suggested_timeout(longest)
    yield f"# {suggested.margin} times {_time(suggested)}"
    yield f"timeout_ms = {suggested.timeout_ms}"


def timeout_text(longest: Longest) -> str:
    """Return the timeout for the terminal: `timeout_ms = 100`."""
    return f"timeout_ms = {suggested_timeout(longest).timeout_ms:,}"


def _time(suggested: SuggestedTimeout) -> str:
    kind = "wall-clock time, in which the guest may wait," if suggested.is_waiting else "processor time"
    test = f", in {printable(suggested.test)}" if suggested.test else ""
    return f"{suggested.taken_ms:,} ms: the {kind} of the longest execution on this machine, rounded up{test}"


def headroom_lines(table: str, suggested: Mapping[str, Found], keys: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Yield a table with the share of each present limit that no test needs, rounded down."""
    shares = {
        keys[name][1]: (found.given - found.value) * _THOUSAND // found.given / _THOUSAND
        for name, found in suggested.items()
        if found.given
    }
    if shares:
        yield f"[{table}.headroom]"
    for key, share in shares.items():
        yield f"{key} = {share}"


def worst_case_lines(table: str, evidence: Evidence) -> Iterator[str]:
    """Yield a table with the dearest calls of each export that a search has found."""
    if evidence.dearest:
        yield f"[{table}.worst-case]"
    for export, dearest in sorted(evidence.dearest.items()):
        parts = [f"fuel = {dearest.fuel}", f"call = {toml_string(printable(dearest.fuel_call))}"]
        if dearest.ended_by is not None:
            parts.append(f"ended_by = {toml_string(dearest.ended_by)}")
        if dearest.growth is not None:
            parts.append(f"growth = {toml_string(dearest.growth)}")
        parts.append(f"memory_bytes = {dearest.memory_bytes}")
        if dearest.memory_call != dearest.fuel_call:
            parts.append(f"memory_call = {toml_string(printable(dearest.memory_call))}")
        yield f"{toml_string(printable(export))} = {{ {', '.join(parts)} }}"


def law_lines(table: str, evidence: Evidence) -> Iterator[str]:
    """Yield a table with the law of each export."""
    laws = laws_of(evidence)
    if laws:
        yield f"[{table}.law]"
    for export, law in laws.items():
        yield f"{toml_string(printable(export))} = {toml_string(printable(law.full_text))}"
