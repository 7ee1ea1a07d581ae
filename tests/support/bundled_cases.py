"""The cases of the bundled suite, which tests of several folders go through."""

from __future__ import annotations

from pytest_airssys_wasm.conformance.loader import find_chapters

CASES = {file.node_id: file.load() for chapter in find_chapters() for file in chapter.cases()}
"""They are read once, which takes a third of a second."""
