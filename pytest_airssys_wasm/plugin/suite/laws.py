"""The limit laws as pytest items, `conformance/laws/<law>`.

Hypothesis is imported when the first law runs. Without it every law is skipped, with the name of the extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.plugin.engine import new_engine, the_engine
from pytest_airssys_wasm.plugin.extras import missing_extra
from pytest_airssys_wasm.plugin.report.mishaps import in_words
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.stash import KIND
from pytest_airssys_wasm.plugin.suite.garbage import new_garbage_only

if TYPE_CHECKING:
    from pytest_airssys_wasm.fuzzing.law_tests import Subject

LAWS = "laws"

# Named here too, so that collecting them does not load Hypothesis; a test holds both lists together.
LAW_NAMES = (
    "breaches-stay-inside",
    "closed-verdicts",
    "ends-in-time",
    "manifests-are-judged",
    "manifests-round-trip",
    "more-never-hurts",
    "one-fuel-threshold",
    "one-memory-threshold",
    "repeatable",
    "within-limits",
)

_IN_THE_OTHER_MODE = 8
"""One guest in so many is also run in the other mode of isolation, where an execution costs several times as much."""
_SUBJECTS = pytest.StashKey["list[Subject]"]()


class LawItem(pytest.Item):
    """One law, which is tested with every guest of the suite under limits that Hypothesis chooses."""

    def __init__(self, **known: Any) -> None:
        super().__init__(**known)
        self.add_marker(pytest.mark.conformance)
        self.stash[KIND] = "law"
        if self.config.stash[SETTINGS].wasm_runtime is not None:
            self.add_marker(pytest.mark.skip(reason="the laws are tested on the bundled runtime only"))
        elif missing := missing_extra("fuzz"):
            self.add_marker(pytest.mark.skip(reason=missing))

    def runtest(self) -> None:
        """Test the law. Raises `AssertionError` with the smallest example that violates the law."""
        from pytest_airssys_wasm.fuzzing.law_tests import LawTest
        from pytest_airssys_wasm.fuzzing.laws import LAWS

        subjects = self._subjects()
        with new_garbage_only():
            LAWS[self.name](LawTest(subjects=subjects, seed=self.config.stash[SETTINGS].wasm_fuzz_seed))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the law and the smallest example that violates it; a traceback for any other error."""
        words = in_words(self, lambda: self._words(excinfo.value))
        return super().repr_failure(excinfo, style) if words is None else words

    def _words(self, error: BaseException) -> str | None:
        if not isinstance(error, AssertionError):
            return None
        from pytest_airssys_wasm.fuzzing.laws import LAWS

        notes = getattr(error, "__notes__", ())
        rerun = f"rerun: pytest --airssys-wasm {self.nodeid}"
        return "\n".join([LAWS[self.name].__doc__ or self.name, "", str(error), *notes, "", rerun])

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return the location of the law: the file of the laws, no line, and the node id."""
        return self.path, 0, self.nodeid

    def _subjects(self) -> list[Subject]:
        """Return the subjects in the mode of isolation of the session, and some in the other mode."""
        if _SUBJECTS not in self.config.stash:
            from pytest_airssys_wasm.fuzzing.bundled_subjects import bundled_subjects
            from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation

            engine = the_engine(self.config)
            other = new_engine(self.config, engine.cache, None if engine.isolation else ProcessIsolation())
            self.config.stash[_SUBJECTS] = [
                *bundled_subjects(engine),
                *bundled_subjects(other, every=_IN_THE_OTHER_MODE),
            ]
        return self.config.stash[_SUBJECTS]
