"""The calls of exports with arguments from a manifest, and their results as data that can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.values import decode, encode
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.errors import ComponentTrapped, UnfitHost, WasmError
from pytest_airssys_wasm.runtime.guest.component import UnknownExport
from pytest_airssys_wasm.runtime.manifest.entries import saved_name
from pytest_airssys_wasm.runtime.wave import write_call, write_value
from pytest_airssys_wasm.runtime.wit.handles import has_handle
from pytest_airssys_wasm.validation.misfits import check_type, decode_results
from pytest_airssys_wasm.validation.unfit import Unfit, remedy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.instance import Instance
    from pytest_airssys_wasm.runtime.manifest.model import ManifestStep


_MOST_LISTED = 20
"""The maximum number of exports that a remedy lists."""


class PlannedCall(Struct, frozen=True, kw_only=True):
    """A call of an existing export, with arguments decoded by their types."""

    text: str
    """The call in WAVE notation, for messages."""
    function: str
    args: tuple[Any, ...]
    results: tuple[Any, ...]
    """The types of the results."""

    def encoded(self, written: Any) -> Any:
        """Return the expected result in a manifest, in the encoding of `CallResult.value`."""
        return encode(decode_results(written, self.results))

    @property
    def returns_handles(self) -> bool:
        """Whether the result holds resources."""
        return any(map(has_handle, self.results))

    def value_text(self, result: CallResult) -> str:
        """Return the result of the call in WAVE notation, for messages."""
        if self.returns_handles:
            return write_value(result.returned, self.results[0])
        return self.result_text(result.value)

    def result_text(self, encoded: Any) -> str:
        """Return an encoded result in WAVE notation, for messages."""
        if not self.results:
            return "nothing" if encoded is None else str(encoded)
        if len(self.results) == 1:
            return write_value(decode(encoded, self.results[0]), self.results[0])
        return f"({', '.join(map(str, encoded))})" if isinstance(encoded, list) else str(encoded)


class CallResult(Struct, frozen=True, kw_only=True):
    """The value or error of a call, with its usage and output."""

    error: WasmError | None
    value: Any
    """The result in the encoding of the adapter protocol; `None` if the call did not return."""
    returned: Any
    """The result as a Python value, with its resources; `None` if the call did not return."""
    usage: Usage
    output: tuple[bytes, bytes]
    """The bytes that the guest wrote to stdout and to stderr."""

    @property
    def verdict(self) -> Verdict:
        """The verdict of the call, `ok` if it returned."""
        return Verdict.OK if self.error is None else self.error.verdict


def plan_call(
    component: Component, function: str, args: Sequence[Any], saved: Mapping[str, Any] | None = None
) -> PlannedCall:
    """Read the arguments by their types. With `saved`, `{ saved = "name" }` stands for the value of that name.

    Raises `Unfit` if the component does not have the export, or the export takes another number of arguments.
    """
    try:
        types, results = component.parameter_types(function), component.result_types(function)
    except UnknownExport as error:
        raise Unfit(str(error), _exports(component.function_names())) from None
    if len(types) != len(args):
        signature = component.function_names()[function]
        raise Unfit(
            f"{function} takes {counted(len(types), 'argument')}, got {len(args)}",
            f"write args that fit its type, {function}: {signature}",
        )
    decoded = tuple(
        decode(wire.from_toml(value), type_) if saved is None or (name := saved_name(value)) is None else saved[name]
        for value, type_ in zip(args, types)
    )
    return PlannedCall(
        text=write_call(function, decoded, types), function=function, args=decoded, results=tuple(results)
    )


def _exports(names: Iterable[str]) -> str:
    known = [*names]
    if not known:
        return "export functions: it exports none that can be called"
    listed = ", ".join(known[:_MOST_LISTED])
    more = len(known) - _MOST_LISTED
    return f"call one of its exports: {listed}" + (f" and {more:,} more" if more > 0 else "")


def make_call(instance: Instance, planned: PlannedCall) -> CallResult:
    """Make the call and return its result. Raises `Unfit` for an argument that does not fit its type."""
    store = instance.store
    error, returned = None, None
    try:
        returned = instance.call(planned.function, *planned.args)
    except UnfitHost:
        raise  # which says nothing about the component
    except WasmError as raised:
        error = raised
    except (TypeError, ValueError) as raised:
        signature = instance.component.function_names()[planned.function]
        raise Unfit(
            f"{planned.function} cannot be called: {raised}",
            f"write args that fit its type, {planned.function}: {signature}",
        ) from None
    assert store.usage is not None
    return CallResult(
        error=error,
        value=encode(returned),
        returned=returned,
        usage=store.usage,
        output=(store.stdout, store.stderr),
    )


def refusals(denied_growths: int) -> str:
    """Return the words for a note that the memory limit refused growths, which a guest may survive; else nothing."""
    if not denied_growths:
        return ""
    return f"; the memory limit refused {counted(denied_growths, 'growth')}"


def judge(planned: PlannedCall, result: CallResult, step: ManifestStep, origins: Mapping[str, str]) -> None:
    """Compare the result of a call with what a step expects. Raises `Unfit` if it is another one.

    `origins` has the place of each limit, for the remedy.
    """
    error = result.error
    if step.returns is not UNSET:
        if planned.returns_handles:
            raise Unfit(
                f"{planned.text} {outcome_text(planned, result)}, whose resources cannot be written in TOML",
                "leave out returns, and use the resource in later steps with save",
            )
        if planned.results:
            check_type(f"returns does not fit the result of {planned.function}", step.returns, planned.results)
        elif step.returns != {}:
            said = f"{planned.function} has no result, got returns = {step.returns!r}"
            raise Unfit(said, "write verdict = 'ok' instead of returns")
        expected = planned.encoded(step.returns)
        wanted = f"expected {planned.result_text(expected)}"
        if error is not None:
            raise Unfit(f"{planned.text} {outcome_text(planned, result)}; {wanted}", remedy(error, origins)) from error
        if not wire.same(expected, result.value):
            raise Unfit(
                f"{planned.text} {outcome_text(planned, result)}, {wanted}", "correct the component, or the entry"
            )
    elif error is not None and step.verdict is UNSET and step.trap is UNSET:
        said = f"{planned.text} {outcome_text(planned, result)}; expected that it returns"
        raise Unfit(said, remedy(error, origins)) from error
    elif step.verdict is not UNSET or step.trap is not UNSET:
        _compare_verdict(planned, result, step, origins)
    if step.max_fuel is not UNSET and result.usage.fuel.consumed > step.max_fuel:
        raise Unfit(
            f"{planned.text} used {result.usage.fuel.consumed:,} fuel, max_fuel is {step.max_fuel:,}",
            "make the call cheaper, or raise max_fuel of this entry",
        )


def _compare_verdict(planned: PlannedCall, result: CallResult, step: ManifestStep, origins: Mapping[str, str]) -> None:
    verdict = Verdict.TRAP if step.verdict is UNSET else step.verdict
    kind = result.error.kind if isinstance(result.error, ComponentTrapped) else None
    if result.verdict == verdict and (step.trap is UNSET or step.trap == kind):
        return
    wanted = f"expected the verdict {verdict}" + ("" if step.trap is UNSET else f" ({step.trap})")
    advice = "correct the component, or the entry"
    if verdict == Verdict.OK and result.error is not None:
        advice = remedy(result.error, origins)
    raise Unfit(f"{planned.text} {outcome_text(planned, result)}; {wanted}", advice) from result.error


def outcome_text(planned: PlannedCall, result: CallResult) -> str:
    """Return the words for how a call ended, to follow the call: `returned 5`, `ended with trap (unreachable)`."""
    if result.error is None:
        return f"returned {planned.value_text(result)}"
    kind = f" ({result.error.kind})" if isinstance(result.error, ComponentTrapped) else f": {result.error}"
    return f"ended with {result.verdict}{kind}"
