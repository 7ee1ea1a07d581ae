"""The bundled suite as pytest nodes: chapters and cases, with node ids `conformance/<chapter>/<case>`.

The nodes are children of the session, not of a file, so that they exist in any folder. They are not instances of
`pytest.File`, because `--lf` would skip them.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct

import pytest_airssys_wasm
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.suite.chapter_lines import show_chapters
from pytest_airssys_wasm.plugin.suite.items import CaseItem
from pytest_airssys_wasm.plugin.suite.laws import LAW_NAMES, LAWS, LawItem
from pytest_airssys_wasm.plugin.suite.selection import ROOT, Selection
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from pytest_airssys_wasm.conformance.known_failures import KnownFailure


class ChapterItems(Struct, frozen=True, kw_only=True):
    """A chapter, with the functions that create its items: cases from data, or laws."""

    name: str
    path: Path
    items: dict[str, Callable[..., pytest.Item]]
    """The functions that create the items, by the names of the items. They are called with the parent and the keywords
    of a node.
    """

    @property
    def node_id(self) -> str:
        """The node id `conformance/<chapter>`."""
        return f"{ROOT}/{self.name}"

    def node_ids(self) -> Iterator[str]:
        """Yield the node ids of the chapter and of its items."""
        yield self.node_id
        yield from (f"{self.node_id}/{name}" for name in self.items)


class SuiteHooks:
    """A plugin that adds the suite to the items that pytest collects.

    Raises `pytest.UsageError` for a case on the command line that does not exist.
    """

    def __init__(self, config: pytest.Config, selection: Selection) -> None:
        self._chapters = tuple(sorted(_chapters(_expected_failures(config)), key=lambda chapter: chapter.name))
        self._selection = selection
        selection.check(node_id for chapter in self._chapters for node_id in chapter.node_ids())

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, object, object]:
        """Hide the node ids of cases from pytest, which would look for files of that name."""
        show_chapters(session.config)
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

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mix the chapters if xdist distributes the items. xdist gives each worker many consecutive items, and
        otherwise one worker would get all items of a slow chapter.
        """
        if hasattr(config, "workerinput"):
            ours = [index for index, item in enumerate(items) if isinstance(item.parent, ChapterCollector)]
            for index, item in zip(ours, mixed([items[index] for index in ours])):
                items[index] = item


class SuiteCollector(pytest.Collector):
    """The suite, which collects chapters."""

    def __init__(self, *, chapters: tuple[ChapterItems, ...], selection: Selection, **known: Any) -> None:
        super().__init__(**known)
        self._chapters = chapters
        self._selection = selection

    def collect(self) -> Iterator[pytest.Collector]:
        """Yield the selected chapters, in alphabetical order."""
        for chapter in self._chapters:
            if self._selection.holds(chapter.node_id):
                yield ChapterCollector.from_parent(
                    self,
                    name=chapter.name,
                    nodeid=chapter.node_id,
                    path=chapter.path,
                    chapter=chapter,
                    selection=self._selection,
                )


class ChapterCollector(pytest.Collector):
    """A chapter, which collects cases."""

    def __init__(self, *, chapter: ChapterItems, selection: Selection, **known: Any) -> None:
        super().__init__(**known)
        self._chapter = chapter
        self._selection = selection

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the selected items, in alphabetical order."""
        for name, make in self._chapter.items.items():
            node_id = f"{self._chapter.node_id}/{name}"
            if self._selection.holds(node_id):
                yield make(self, name=name, nodeid=node_id)


def mixed(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the items in an order in which every chapter is spread evenly.

    The laws come first and stay together, so that one worker has them all. What they share, which is Hypothesis and all
    guests of the suite, takes longer to load than a law takes.
    """
    laws = [item for item in items if isinstance(item, LawItem)]
    cases = [item for item in items if not isinstance(item, LawItem)]
    chapters = [[*chapter] for _, chapter in groupby(cases, key=lambda item: item.parent)]
    places = [((place + 0.5) / len(chapter), item) for chapter in chapters for place, item in enumerate(chapter)]
    return laws + [item for _, item in sorted(places, key=itemgetter(0))]


def _expected_failures(config: pytest.Config) -> dict[str, KnownFailure]:
    path = config.stash[SETTINGS].wasm_expectations
    if path is None or (config.stash[SETTINGS].wasm_expectations_update and not path.exists()):
        return {}
    from pytest_airssys_wasm.conformance.known_failures import read_known_failures

    try:
        return read_known_failures(path, [case.node_id for file in find_chapters() for case in file.cases()])
    except InvalidConfiguration as error:
        raise pytest.UsageError(str(error)) from None


def _chapters(failures: Mapping[str, KnownFailure]) -> Iterator[ChapterItems]:
    """Yield the chapters that are read from data, and the chapter of the laws."""
    for file in find_chapters():
        cases = {
            case.name: _maker(CaseItem, path=case.path, case_file=case, known_failure=failures.get(case.node_id))
            for case in file.cases()
        }
        yield ChapterItems(name=file.name, path=file.path, items=cases)
    path = Path(pytest_airssys_wasm.__file__).parent / "fuzzing" / "laws.py"  # not imported: it may need the extra
    yield ChapterItems(name=LAWS, path=path, items={name: _maker(LawItem, path=path) for name in LAW_NAMES})


def _maker(kind: type[pytest.Item], **own: Any) -> Callable[..., pytest.Item]:
    return lambda parent, **node: kind.from_parent(parent, **own, **node)
