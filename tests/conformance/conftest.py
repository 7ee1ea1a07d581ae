"""The fixtures of this folder: cases from text, observations by hand, suites in a folder, adapters from scripts."""

from __future__ import annotations

import sys
from textwrap import dedent
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_airssys_wasm.conformance import runner
from pytest_airssys_wasm.conformance.adapter import AdapterRuntime, Patience
from pytest_airssys_wasm.conformance.model import Case
from pytest_airssys_wasm.conformance.runner import ActorPass, Observation
from pytest_airssys_wasm.protocol.messages import StepAnswer
from pytest_airssys_wasm.runtime.base import toml
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from support.adapter_scripts import PRELUDE
from support.scripted_runtime import ScriptedRuntime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HEAD = 'requirement = "R-1"\nsummary = "A case"\nwat = "(module)"\n'


@pytest.fixture
def make_case() -> Callable[[str], Case]:
    """A case from TOML, under a head that every case has."""
    return lambda text: msgspec.convert(toml.loads(HEAD + dedent(text)), Case)


@pytest.fixture
def answer() -> Callable[..., StepAnswer]:
    """An answer, `ok` unless said otherwise."""

    def make(verdict: str = "ok", **fields: Any) -> StepAnswer:
        return StepAnswer(verdict=Verdict(verdict), **fields)

    return make


@pytest.fixture
def observed() -> Callable[..., Observation]:
    """One repetition after the other of the only actor, each a list of answers."""

    def make(*repetitions: list[StepAnswer | None], **measured: Any) -> Observation:
        seen = tuple(
            ActorPass(actor="", copy=0, repetition=number, answers=tuple(answers))
            for number, answers in enumerate(repetitions)
        )
        return Observation(passes=seen, **{"elapsed_ms": 1.0, **measured})

    return make


@pytest.fixture
def scripted() -> type[ScriptedRuntime]:
    """A runtime that answers from a script."""
    return ScriptedRuntime


@pytest.fixture
def no_guests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave the guests of cases unwritten: a runtime that answers from a script does not read them."""
    monkeypatch.setattr(runner, "text_file", lambda *_: tmp_path / "unwritten.wat")
    monkeypatch.setattr(runner, "spells_bytes", lambda _: False)
    monkeypatch.setattr(runner, "translated", lambda *_: tmp_path / "unwritten.wasm")
    # Nothing of a guest is there to be collected, and to look for it takes longer than the case.
    monkeypatch.setattr(runner, "gc", SimpleNamespace(collect=lambda: None))


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., Path]:
    """A suite in a folder: file names (`chapter/case.toml`) to contents."""

    def write(**files: str) -> Path:
        root = tmp_path / "conformance"
        for name, text in files.items():
            file = root / name.replace("__", "/").replace("_", "-")
            file = file.with_suffix(".toml")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text), encoding="utf-8")
        return root

    return write


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., AdapterRuntime]]:
    """Adapters from scripts, closed at the end."""
    started = []

    def make(script: str, **known: Any) -> AdapterRuntime:
        known.setdefault("patience", Patience(start_s=30.0, grace_s=0.5, unlimited_s=10.0))
        code = PRELUDE + dedent(script)
        started.append(AdapterRuntime([sys.executable, "-c", code], folder=tmp_path, **known))
        return started[-1]

    yield make
    for one in started:
        one.close()
