"""Fuzzing does not accuse sound exports of real guests, whatever the seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_airssys_wasm import HostFunctions, ResourceLimits
from pytest_airssys_wasm.fuzzing.export_check import check_export
from pytest_airssys_wasm.fuzzing.search import Plan
from pytest_airssys_wasm.fuzzing.sequences import check_sequences
from pytest_airssys_wasm.fuzzing.worst_cases import check_worst_case
from pytest_airssys_wasm.runtime.manifest.loading import parse_manifest
from pytest_airssys_wasm.validation.candidate import Candidate
from pytest_airssys_wasm.validation.exports import callable_exports, is_excluded
from support.checkout import EXAMPLES, GUESTS
from support.seeds import SEEDS

SOUND = {
    # C: each type of values through a compiler's own structs, and a resource. The interface `broken` is to be accused.
    GUESTS / "inventory" / "inventory.wasm": ["demo:inventory/broken@1.0.0#*", "demo:inventory/echo@1.0.0#blob"],
    GUESTS / "text-transform" / "text-transform.wasm": [],
    EXAMPLES / "c" / "json-minify.wasm": [],
    EXAMPLES / "assemblyscript" / "sparkline.wasm": [],
}
"""Guests, and the exports of each that are not meant to be sound: they return what is asked of them, however large."""
LIMITS = ResourceLimits(memory="2 MiB", timeout_ms=20_000)


def candidates(engine):
    for path, exclude in SOUND.items():
        guest = engine.load(path)
        text = '[component]\nname = "a"\nversion = "1"\n[resources.memory]\nmax_bytes = 2097152\n'
        text += f"[fuzz]\nexclude = {exclude!r}\n"
        yield Candidate(
            engine=engine,
            wasm=path,
            loader=lambda guest=guest: guest,
            manifest=parse_manifest(text, Path("Component.toml")),
            declared_limits=LIMITS,
            host=HostFunctions(),
            wasi=None,
        )


def exports_of(candidate):
    names = callable_exports(candidate.load())
    return [name for name in names if not is_excluded(name, candidate.manifest.fuzz.exclude)]


def plan(seed, examples, time_s=20):
    return Plan(profile="ci", examples=examples, time_s=time_s, shrink_s=10, seed=seed)


def test_there_are_twenty_sound_exports(engine):
    assert sum(len(exports_of(candidate)) for candidate in candidates(engine)) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_sound_exports_are_not_accused(engine, seed):
    for candidate in candidates(engine):
        for export in exports_of(candidate):
            assert f"seed {seed}" in check_export(candidate, export, plan(seed, 4))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_sound_guests_are_not_accused_of_leaks_or_of_what_they_cost(engine, seed):
    for candidate in candidates(engine):
        assert f"seed {seed}" in check_sequences(candidate, plan(seed, 10, time_s=1))
        for export in exports_of(candidate)[:3]:
            assert f"seed {seed}" in check_worst_case(candidate, export, plan(seed, 60))
