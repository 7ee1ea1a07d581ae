"""One `[[tests]]` entry of a manifest: a call, and what is expected of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import ComponentTrapped
from pytest_airssys_wasm.validation.calls import make, plan
from pytest_airssys_wasm.validation.findings import Unfit
from pytest_airssys_wasm.validation.remedies import remedy

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.manifest.model import ManifestTest
    from pytest_airssys_wasm.validation.calls import Outcome, Planned
    from pytest_airssys_wasm.validation.candidate import Candidate


def check_entry(candidate: Candidate, test: ManifestTest) -> str:
    """Call what it says in a fresh instance. Raises `Unfit` when something else comes out, `Blocked` before that."""
    with candidate.instantiated() as instance:
        planned = plan(instance.component, test.call, test.args)
        outcome = make(instance, planned)
        _judge(planned, outcome, test)
    return f"{_ending(planned, outcome)}; fuel {outcome.usage.fuel.consumed:,}"


def _judge(planned: Planned, outcome: Outcome, test: ManifestTest) -> None:
    error = outcome.error
    if test.returns is not UNSET:
        expected = planned.expect(test.returns)
        wanted = f"expected {planned.show(expected)}"
        if error is not None:
            raise Unfit(f"{planned.text} {_ending(planned, outcome)}; {wanted}", remedy(error)) from error
        if not wire.same(expected, outcome.value):
            raise Unfit(f"{planned.text} {_ending(planned, outcome)}, {wanted}", "correct the component, or the entry")
    else:
        _judge_verdict(planned, outcome, test)
    if test.max_fuel is not UNSET and outcome.usage.fuel.consumed > test.max_fuel:
        raise Unfit(
            f"{planned.text} used {outcome.usage.fuel.consumed:,} fuel, max_fuel is {test.max_fuel:,}",
            "make it cheaper, or raise max_fuel of this entry",
        )


def _judge_verdict(planned: Planned, outcome: Outcome, test: ManifestTest) -> None:
    verdict = Verdict.TRAP if test.verdict is UNSET else test.verdict
    kind = outcome.error.kind if isinstance(outcome.error, ComponentTrapped) else None
    if outcome.verdict == verdict and (test.trap is UNSET or test.trap == kind):
        return
    wanted = f"expected the verdict {verdict}" + ("" if test.trap is UNSET else f" ({test.trap})")
    raise Unfit(
        f"{planned.text} {_ending(planned, outcome)}; {wanted}", "correct the component, or the entry"
    ) from outcome.error


def _ending(planned: Planned, outcome: Outcome) -> str:
    if outcome.error is None:
        return f"returned {planned.show(outcome.value)}"
    kind = f" ({outcome.error.kind})" if isinstance(outcome.error, ComponentTrapped) else f": {outcome.error}"
    return f"ended with {outcome.verdict}{kind}"
