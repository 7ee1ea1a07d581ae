"""The guests that the laws are tried on: the components of the suite's cases that need nothing of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.conformance.loader import find_chapters, source_text
from pytest_airssys_wasm.fuzzing.laws import Subject
from pytest_airssys_wasm.runtime.errors import InvalidComponent

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.engine import WasmEngine

_CHAPTERS = ("fuel", "memory", "traps")


def bundled_subjects(engine: WasmEngine) -> list[Subject]:
    """Every export without parameters of those guests."""
    found: dict[tuple[str, str], Subject] = {}
    for chapter in find_chapters():
        if chapter.name not in _CHAPTERS:
            continue
        for file in chapter.cases():
            case = file.load()
            if case.imports or case.wasi is not None or case.actors:
                continue
            text = source_text(case.cast()[0], file.node_id)
            try:
                component = engine.load(text)
            except InvalidComponent:
                continue  # a case may be about just that
            for name in component.function_names():
                if not component.parameter_types(name):
                    found.setdefault((text, name), Subject(component, name))
    return list(found.values())
