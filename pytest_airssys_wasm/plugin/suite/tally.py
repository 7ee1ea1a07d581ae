"""The result of the suite on a runtime behind an adapter, relative to the capabilities that the runtime names."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_airssys_wasm.plugin import adapter
from pytest_airssys_wasm.plugin.suite.laws import LAWS
from pytest_airssys_wasm.plugin.suite.selection import ROOT
from pytest_airssys_wasm.runtime.base.printable import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

LACKING = "the runtime does not name "
"""The beginning of the reason of a case that is skipped, before the names of capabilities."""

_MOST_NAMED = 6
"""The number of capabilities that the summary names."""


class Tally:
    """A plugin that adds lines to the terminal summary. Cases that are skipped are not failures of the runtime."""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show how many of the cases passed for which the runtime names all capabilities."""
        name = adapter.runtime_name(terminalreporter.config)
        found = {
            outcome: [one for one in terminalreporter.stats.get(outcome, ()) if _is_case(one)]
            for outcome in ("passed", "xpassed", "failed", "xfailed", "skipped")
        }
        for line in _lines(" ".join(name or ("the runtime",)), found):
            terminalreporter.line(line)


def _is_case(report: pytest.TestReport) -> bool:
    node_id = getattr(report, "nodeid", "")
    return node_id.startswith(f"{ROOT}/") and not node_id.startswith(f"{ROOT}/{LAWS}/")


def _lines(name: str, found: dict[str, list[pytest.TestReport]]) -> Iterator[str]:
    passed, failed, known = (len(found["passed"]) + len(found["xpassed"]), len(found["failed"]), len(found["xfailed"]))
    asked = passed + failed + known
    if not asked:
        return
    others = [f"{known:,} failed as known"] if known else []
    others += [f"{failed:,} failed"] if failed else []
    more = f" ({', '.join(others)})" if others else ""
    yield f"{name} passed {passed:,} of the {counted(asked, 'case')} for which it names all capabilities{more}."
    lacking = [*_lacking(found["skipped"])]
    if lacking:
        names = Counter(capability for names in lacking for capability in names).most_common()
        listed = ", ".join(f"{capability} ({number:,})" for capability, number in names[:_MOST_NAMED])
        end = ", …" if len(names) > _MOST_NAMED else ""
        need = "needs" if len(lacking) == 1 else "need"
        yield f"{counted(len(lacking), 'other')} {need} capabilities that it does not name: {listed}{end}."


def _lacking(skipped: Iterable[pytest.TestReport]) -> Iterator[list[str]]:
    """Yield the capabilities that each skipped case lacked."""
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        names = reason.partition(LACKING)[2]
        if names:
            yield names.split(", ")
