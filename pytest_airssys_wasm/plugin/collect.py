"""The bundled suite as pytest nodes: chapters and cases, with node ids `conformance/<chapter>/<case>`.

They hang below the session itself, not below a file, so that they are there in any folder; and they are no
`pytest.File`, so that `--lf` does not pass over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.items import CaseItem
from pytest_airssys_wasm.plugin.selection import ROOT, Selection, select

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.conformance.loader import ChapterFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What of the suite is to be collected in this run."""

    chapters: tuple[ChapterFile, ...]
    selection: Selection


PLAN = pytest.StashKey[Plan]()


def plan_suite(config: pytest.Config) -> Plan:
    """Find the chapters, and part the command line.

    Raises `pytest.UsageError` for a case that does not exist.
    """
    from pytest_airssys_wasm.conformance.data import data_folder
    from pytest_airssys_wasm.conformance.loader import find_chapters

    chapters = find_chapters()
    known = [node_id for chapter in chapters for node_id in _node_ids(chapter)]
    return Plan(chapters=chapters, selection=select(config, known, data_folder("conformance")))


class SuiteCollector(pytest.Collector):
    """The suite: collects chapters."""

    def collect(self) -> Iterator[pytest.Collector]:
        """The selected chapters, in alphabetical order."""
        plan = self.config.stash[PLAN]
        for chapter in plan.chapters:
            node_id = f"{ROOT}/{chapter.name}"
            if plan.selection.holds(node_id):
                yield ChapterCollector.from_parent(
                    self, name=chapter.name, nodeid=node_id, path=chapter.path, chapter=chapter
                )


class ChapterCollector(pytest.Collector):
    """A chapter: collects cases."""

    def __init__(self, *, chapter: ChapterFile, **known: object) -> None:
        super().__init__(**known)  # type: ignore[arg-type]  # whatever pytest gives a node
        self.chapter = chapter

    def collect(self) -> Iterator[pytest.Item]:
        """The selected cases, in alphabetical order."""
        selection = self.config.stash[PLAN].selection
        for case in self.chapter.cases():
            if selection.holds(case.node_id):
                yield CaseItem.from_parent(
                    self, name=case.name, nodeid=case.node_id, path=case.path, case_file=case
                )


def suite_of(session: pytest.Session) -> pytest.Collector:
    """The node that holds the suite."""
    return SuiteCollector.from_parent(session, name=ROOT, nodeid=ROOT)


def _node_ids(chapter: ChapterFile) -> Iterator[str]:
    yield f"{ROOT}/{chapter.name}"
    yield from (case.node_id for case in chapter.cases())
