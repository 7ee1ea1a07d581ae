"""The conformance case as a pytest item: its run, the comparison, and the text of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.conformance.known_failures_update import UNEXPLAINED
from pytest_airssys_wasm.plugin import adapter
from pytest_airssys_wasm.plugin.report.failure_text import failure_text
from pytest_airssys_wasm.plugin.report.mishaps import in_words
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.stash import KIND, PINS, REQUIREMENT
from pytest_airssys_wasm.plugin.suite.garbage import new_garbage_only
from pytest_airssys_wasm.plugin.suite.runners import the_runner
from pytest_airssys_wasm.plugin.suite.tally import LACKING
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.conformance.known_failures import KnownFailure
    from pytest_airssys_wasm.conformance.loader import CaseFile
    from pytest_airssys_wasm.conformance.matching import Mismatch
    from pytest_airssys_wasm.conformance.model import Case

_MOST_FINDINGS = 20
"""The number of findings that a failure shows."""


class CaseFailed(Exception):
    """The error for a case whose requirement the runtime does not satisfy."""

    def __init__(self, case: Case, mismatches: Sequence[Mismatch], missing: Sequence[str] = ()) -> None:
        self.case = case
        self.mismatches = mismatches
        self.missing = missing
        """The findings that were expected and not found."""
        super().__init__(self.first)

    @property
    def first(self) -> str:
        """The first reason for the failure of the case, in one line."""
        if self.mismatches:
            return self.mismatches[0].sentence
        return f"a known finding is gone: {self.missing[0]}"


class FailedAsKnown(CaseFailed):
    """The error for a case that failed with only its known findings."""


class CaseItem(pytest.Item):
    """One case of the suite."""

    def __init__(self, *, case_file: CaseFile, known_failure: KnownFailure | None, **known: Any) -> None:
        super().__init__(**known)
        self.case_file = case_file
        self._known_failure = known_failure
        self._is_update = self.config.stash[SETTINGS].wasm_expectations_update
        if known_failure is not None and not self._is_update:
            self.add_marker(
                pytest.mark.xfail(raises=FailedAsKnown, reason=known_failure.reason, strict=not known_failure.sometimes)
            )
        self.add_marker(pytest.mark.conformance)
        self.stash[KIND] = "case"

    def runtest(self) -> None:
        """Run the case and compare the answers. The case is skipped if the runtime lacks a capability that it needs."""
        from pytest_airssys_wasm.conformance.matching import mismatches
        from pytest_airssys_wasm.conformance.runner import missing_capabilities
        from pytest_airssys_wasm.conformance.scaling import scaled

        case = scaled(self.case_file.load(), self.config.stash[SETTINGS].wasm_timeout_scale)
        self.stash[REQUIREMENT] = case.requirement
        runner = the_runner(self.config, case.needs)
        missing = missing_capabilities(case, runner.runtime)
        if missing:
            raise pytest.skip.Exception(LACKING + ", ".join(missing), _use_item_location=True)
        adapter.begin_case(self)
        with new_garbage_only():
            observation = runner.run(case, str(self.case_file.path))
        found = mismatches(case, observation)
        self.stash[PINS] = [mismatch.pin for mismatch in found]
        if found and self._is_update:
            raise pytest.xfail.Exception(self._known_failure.reason if self._known_failure else UNEXPLAINED)
        if found:
            raise self._judged(case, found)

    def _judged(self, case: Case, found: Sequence[Mismatch]) -> CaseFailed:
        """Return the failure with all findings, or with only those that are not known."""
        if self._known_failure is None:
            return CaseFailed(case, found)
        unexpected, missing = self._known_failure.unexpected(found), self._known_failure.missing(found)
        return CaseFailed(case, unexpected, missing) if unexpected or missing else FailedAsKnown(case, found)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the case, its requirement and the mismatches; a traceback only if the cause is in this package."""
        words = in_words(self, lambda: self._words(excinfo))
        return super().repr_failure(excinfo, style) if words is None else words

    def _words(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        error = excinfo.value
        if isinstance(error, CaseFailed):
            lines = self._lines(error)
            text = failure_text(excinfo, self.case_file.path, *lines, reason=error.first)
            if exchanged := adapter.transcript_text(self.config):
                text.addsection(adapter.SECTION, exchanged)
            return text
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
            *self._findings(error),
            "",
            f"case: {self.case_file.path}",
            f"rerun: pytest {adapter.rerun_flags(self.config)} {self.nodeid}",
        ]

    def _findings(self, error: CaseFailed) -> list[str]:
        known = self._known_failure
        shown = [f"  {mismatch.sentence}" for mismatch in error.mismatches[:_MOST_FINDINGS]]
        if len(error.mismatches) > len(shown):
            shown.append(f"  and {len(error.mismatches) - len(shown)} more")
        shown += [f"  a known finding is gone: {pin}" for pin in error.missing]
        if known is not None and not isinstance(error, FailedAsKnown):
            shown += ["", f"the list knows other findings of this case ({known.reason}):"]
            shown += [f"  {pin.text}" for pin in known.pins]
            shown.append("--wasm-expectations-update updates the list and keeps its reasons.")
        return shown

    def _requirement(self, identifier: str) -> str:
        from pytest_airssys_wasm.conformance.loader import CHAPTER_FILE, decode_toml
        from pytest_airssys_wasm.conformance.model import Chapter

        requirements = decode_toml(self.case_file.path.with_name(CHAPTER_FILE), Chapter).requirements
        found = requirements.get(identifier)
        return "a requirement that the chapter does not list" if found is None else found.sentence
