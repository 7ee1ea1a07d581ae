"""The bundled suite as pytest nodes: chapters and cases, with node ids `conformance/<chapter>/<case>`.

They hang below the session itself, not below a file, so that they are there in any folder; and they are no
`pytest.File`, so that `--lf` does not pass over them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.conformance.data import data_folder
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.plugin.items import CaseItem
from pytest_airssys_wasm.plugin.selection import ROOT, Selection, select

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_airssys_wasm.conformance.loader import ChapterFile


class SuiteHooks:
    """A plugin of its own, registered by `--airssys-wasm`: adds the suite to what pytest collects.

    Raises `pytest.UsageError` for a case on the command line that does not exist.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._chapters = find_chapters()
        known = [node_id for chapter in self._chapters for node_id in _node_ids(chapter)]
        self._selection = select(config, known, data_folder("conformance"))

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, object, object]:
        """Keep the node ids of cases from pytest, which would look for files of that name."""
        arguments = session.config.args
        session.config.args = list(self._selection.files)
        try:
            return (yield)
        finally:
            session.config.args = arguments

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the suite to the session's children."""
        collected = yield
        if isinstance(collector, pytest.Session):
            suite = SuiteCollector.from_parent(
                collector, name=ROOT, nodeid=ROOT, chapters=self._chapters, selection=self._selection
            )
            collected.result = [*collected.result, suite]
        return collected


class SuiteCollector(pytest.Collector):
    """The suite: collects chapters."""

    def __init__(self, *, chapters: tuple[ChapterFile, ...], selection: Selection, **known: Any) -> None:
        super().__init__(**known)
        self._chapters = chapters
        self._selection = selection

    def collect(self) -> Iterator[pytest.Collector]:
        """The selected chapters, in alphabetical order."""
        for chapter in self._chapters:
            node_id = f"{ROOT}/{chapter.name}"
            if self._selection.holds(node_id):
                yield ChapterCollector.from_parent(
                    self,
                    name=chapter.name,
                    nodeid=node_id,
                    path=chapter.path,
                    chapter=chapter,
                    selection=self._selection,
                )


class ChapterCollector(pytest.Collector):
    """A chapter: collects cases."""

    def __init__(self, *, chapter: ChapterFile, selection: Selection, **known: Any) -> None:
        super().__init__(**known)
        self._chapter = chapter
        self._selection = selection

    def collect(self) -> Iterator[pytest.Item]:
        """The selected cases, in alphabetical order."""
        for case in self._chapter.cases():
            if self._selection.holds(case.node_id):
                yield CaseItem.from_parent(
                    self, name=case.name, nodeid=case.node_id, path=case.path, case_file=case
                )


def _node_ids(chapter: ChapterFile) -> Iterator[str]:
    yield f"{ROOT}/{chapter.name}"
    yield from (case.node_id for case in chapter.cases())
