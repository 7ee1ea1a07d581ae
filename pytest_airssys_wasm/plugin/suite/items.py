"""The conformance case as a pytest item: its run, the comparison, and the text of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.plugin import adapter
from pytest_airssys_wasm.plugin.report.failure_text import failure_text
from pytest_airssys_wasm.plugin.report.mishaps import in_words
from pytest_airssys_wasm.plugin.stash import KIND, REQUIREMENT
from pytest_airssys_wasm.plugin.suite.garbage import new_garbage_only
from pytest_airssys_wasm.plugin.suite.runners import the_runner
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.conformance.known_failures import KnownFailure
    from pytest_airssys_wasm.conformance.loader import CaseFile
    from pytest_airssys_wasm.conformance.matching import Mismatch
    from pytest_airssys_wasm.conformance.model import Case


class CaseFailed(Exception):
    """The error for a case whose requirement the runtime does not satisfy."""

    def __init__(self, case: Case, mismatches: Sequence[Mismatch]) -> None:
        super().__init__("; ".join(mismatch.sentence for mismatch in mismatches))
        self.case = case
        self.mismatches = mismatches


class CaseItem(pytest.Item):
    """One case of the suite."""

    def __init__(self, *, case_file: CaseFile, known_failure: KnownFailure | None, **known: Any) -> None:
        super().__init__(**known)
        self.case_file = case_file
        if known_failure is not None:
            self.add_marker(
                pytest.mark.xfail(raises=CaseFailed, reason=known_failure.reason, strict=not known_failure.sometimes)
            )
        self.add_marker(pytest.mark.conformance)
        self.stash[KIND] = "case"

    def runtest(self) -> None:
        """Run the case and compare the answers. The case is skipped if the runtime lacks a capability that it needs."""
        from pytest_airssys_wasm.conformance.matching import mismatches
        from pytest_airssys_wasm.conformance.runner import missing_capabilities

        case = self.case_file.load()
        self.stash[REQUIREMENT] = case.requirement
        runner = the_runner(self.config, case.needs)
        missing = missing_capabilities(case, runner.runtime)
        if missing:
            raise pytest.skip.Exception(f"the runtime has no {', '.join(missing)}", _use_item_location=True)
        adapter.begin_case(self)
        with new_garbage_only():
            observation = runner.run(case, str(self.case_file.path))
        found = mismatches(case, observation)
        if found:
            adapter.add_section(self)
            raise CaseFailed(case, found)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the case, its requirement and the mismatches; a traceback only if the cause is in this package."""
        words = in_words(self, lambda: self._words(excinfo))
        return super().repr_failure(excinfo, style) if words is None else words

    def _words(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        error = excinfo.value
        if isinstance(error, CaseFailed):
            lines = self._lines(error)
            return failure_text(excinfo, self.case_file.path, *lines, reason=error.mismatches[0].sentence)
        return str(error) if isinstance(error, (InvalidConfiguration, RuntimeDied)) else None

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return the location of the case: its file, no line, and its name."""
        return self.path, 0, self.nodeid

    def _lines(self, error: CaseFailed) -> list[str]:
        requirement = self._requirement(error.case.requirement)
        return [
            error.case.summary,
            f"{error.case.requirement}: {requirement}",
            "",
            *(f"  {mismatch.sentence}" for mismatch in error.mismatches),
            "",
            f"case: {self.case_file.path}",
            f"rerun: pytest {adapter.rerun_flags(self.config)} {self.nodeid}",
        ]

    def _requirement(self, identifier: str) -> str:
        from pytest_airssys_wasm.conformance.loader import CHAPTER_FILE, decode_toml
        from pytest_airssys_wasm.conformance.model import Chapter

        requirements = decode_toml(self.case_file.path.with_name(CHAPTER_FILE), Chapter).requirements
        found = requirements.get(identifier)
        return "a requirement that the chapter does not list" if found is None else found.sentence
