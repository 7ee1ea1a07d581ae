"""The check of one `[[tests]]` entry of a manifest: a call, and its expected result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import ComponentTrapped
from pytest_airssys_wasm.validation.calls import make_call, plan_call
from pytest_airssys_wasm.validation.findings import Unfit, remedy

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.manifest.model import ManifestTest
    from pytest_airssys_wasm.validation.calls import CallResult, PlannedCall
    from pytest_airssys_wasm.validation.candidate import Candidate


def check_entry(candidate: Candidate, test: ManifestTest) -> str:
    """Make the entry's call in a fresh instance, and return a note with its result and its fuel.

    Raises `Unfit` when the result is not the expected one, and `Blocked` when there is no instance.
    """
    with candidate.instantiated() as instance:
        planned = plan_call(instance.component, test.call, test.args)
        result = make_call(instance, planned)
        _compare(planned, result, test)
    return f"{_outcome_text(planned, result)}; fuel {result.usage.fuel.consumed:,}"


def _compare(planned: PlannedCall, result: CallResult, test: ManifestTest) -> None:
    error = result.error
    if test.returns is not UNSET:
        expected = planned.encoded(test.returns)
        wanted = f"expected {planned.result_text(expected)}"
        if error is not None:
            raise Unfit(f"{planned.text} {_outcome_text(planned, result)}; {wanted}", remedy(error)) from error
        if not wire.same(expected, result.value):
            raise Unfit(
                f"{planned.text} {_outcome_text(planned, result)}, {wanted}", "correct the component, or the entry"
            )
    else:
        _compare_verdict(planned, result, test)
    if test.max_fuel is not UNSET and result.usage.fuel.consumed > test.max_fuel:
        raise Unfit(
            f"{planned.text} used {result.usage.fuel.consumed:,} fuel, max_fuel is {test.max_fuel:,}",
            "make the call cheaper, or raise max_fuel of this entry",
        )


def _compare_verdict(planned: PlannedCall, result: CallResult, test: ManifestTest) -> None:
    verdict = Verdict.TRAP if test.verdict is UNSET else test.verdict
    kind = result.error.kind if isinstance(result.error, ComponentTrapped) else None
    if result.verdict == verdict and (test.trap is UNSET or test.trap == kind):
        return
    wanted = f"expected the verdict {verdict}" + ("" if test.trap is UNSET else f" ({test.trap})")
    raise Unfit(
        f"{planned.text} {_outcome_text(planned, result)}; {wanted}", "correct the component, or the entry"
    ) from result.error


def _outcome_text(planned: PlannedCall, result: CallResult) -> str:
    if result.error is None:
        return f"returned {planned.result_text(result.value)}"
    kind = f" ({result.error.kind})" if isinstance(result.error, ComponentTrapped) else f": {result.error}"
    return f"ended with {result.verdict}{kind}"
