"""The guests of the conformance suite with which the limit laws are tested there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from pytest_airssys_wasm.conformance.guests import source_text
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.fuzzing.law_tests import AMPLE, Subject
from pytest_airssys_wasm.fuzzing.trials import Guest
from pytest_airssys_wasm.runtime.errors import InvalidComponent

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.engine import WasmEngine

_CHAPTERS = ("fuel", "memory", "traps", "tables")
"""The chapters of the suite whose guests are used to test the laws."""


def bundled_subjects(engine: WasmEngine, *, every: int = 1) -> list[Subject]:
    """Return every export without parameters of the suite's guests that do not import anything from the host; with
    `every`, only those of one guest in so many.
    """
    found: dict[tuple[str, str], Subject] = {}
    for text in _bundled_guests()[::every]:
        try:
            component = engine.load(text)
        except InvalidComponent:
            continue  # its case may be about that
        guest = Guest(engine=engine, component=component, limits=AMPLE)
        for name in component.function_names():
            if not component.parameter_types(name):
                found.setdefault((text, name), Subject(guest=guest, function=name, arguments=st.just(())))
    return list(found.values())


def _bundled_guests() -> list[str]:
    texts: dict[str, None] = {}
    for chapter in find_chapters():
        for file in chapter.cases() if chapter.name in _CHAPTERS else ():
            case = file.load()
            if not case.imports and case.wasi is None and not case.actors:
                texts[source_text(case.cast()[0], file.node_id)] = None
    return list(texts)
