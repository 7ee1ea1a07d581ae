"""Endings that are told as other endings, and the wrong one of two that are true."""

from __future__ import annotations

import re

from msgspec import UNSET

from mutants.mutant import Family, answering, around, is_component
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import ComponentTrapped, ExecutionTimeout, LinkError, OutOfFuel, OutOfMemory
from pytest_airssys_wasm.runtime.execution import verdict as judgement
from pytest_airssys_wasm.runtime.execution.run import Stop
from pytest_airssys_wasm.runtime.guest import module_calls

FAMILY = Family("verdicts")


def _as(verdict, **fields):
    """The fields of an answer with this verdict."""
    return {"verdict": verdict, "value": UNSET, "trap": None, "resource": None, "code": None, **fields}


def _confusing(patch, wrong, instead):
    """Answer as `instead` where the verdict is `wrong`."""
    answering(patch, lambda answer, _: instead if answer.verdict is wrong else {})


@FAMILY.mutant
def out_of_fuel_told_as_timeout(patch):
    """Both are taken for being out of time."""
    _confusing(patch, Verdict.OUT_OF_FUEL, _as(Verdict.TIMEOUT))


@FAMILY.mutant
def out_of_fuel_told_as_trap(patch):
    """The trap by which fuel ends a guest is passed on as one."""
    _confusing(patch, Verdict.OUT_OF_FUEL, _as(Verdict.TRAP, trap="out-of-fuel"))


@FAMILY.mutant
def timeout_told_as_out_of_fuel(patch):
    """Both are taken for being out of fuel."""
    _confusing(patch, Verdict.TIMEOUT, _as(Verdict.OUT_OF_FUEL))


@FAMILY.mutant
def timeout_told_as_trap(patch):
    """The trap by which the clock ends a guest is passed on as one."""
    _confusing(patch, Verdict.TIMEOUT, _as(Verdict.TRAP, trap="interrupt"))


@FAMILY.mutant
def out_of_memory_told_as_trap(patch):
    """What the guest does about a refused growth is all that is told."""
    _confusing(patch, Verdict.OUT_OF_MEMORY, _as(Verdict.TRAP, trap="unreachable"))


@FAMILY.mutant
def out_of_memory_told_as_resource_limit(patch):
    """Memory is one resource among others."""
    _confusing(patch, Verdict.OUT_OF_MEMORY, _as(Verdict.RESOURCE_LIMIT, resource="memory"))


@FAMILY.mutant
def resource_limit_told_as_trap(patch):
    """An instantiation that is refused is taken for a trap."""
    _confusing(patch, Verdict.RESOURCE_LIMIT, _as(Verdict.TRAP, trap="unknown"))


@FAMILY.mutant
def resource_limit_told_as_out_of_memory(patch):
    """All that can run out is memory."""
    _confusing(patch, Verdict.RESOURCE_LIMIT, _as(Verdict.OUT_OF_MEMORY))


@FAMILY.mutant
def every_resource_has_one_name(patch):
    """Which resource ran out is not looked at."""
    _confusing(patch, Verdict.RESOURCE_LIMIT, {"resource": "tables"})


@FAMILY.mutant
def host_error_told_as_trap(patch):
    """A host function that fails is taken for a guest that does."""
    _confusing(patch, Verdict.HOST_ERROR, _as(Verdict.TRAP, trap="unknown"))


@FAMILY.mutant
def a_failed_host_function_is_ignored(patch):
    """The guest goes on as if it had returned."""
    _confusing(patch, Verdict.HOST_ERROR, _as(Verdict.OK, value=None))


@FAMILY.mutant
def exit_told_as_ok(patch):
    """The status is not looked at."""
    _confusing(patch, Verdict.EXIT, _as(Verdict.OK, value=None))


@FAMILY.mutant
def exit_told_as_trap(patch):
    """WASI ends a guest by a trap, which is passed on."""
    _confusing(patch, Verdict.EXIT, _as(Verdict.TRAP, trap="unreachable"))


@FAMILY.mutant
def exit_status_zero_told_as_exit(patch):
    """A guest that ends itself is never ok."""

    def verdict(original, run):
        if judgement.exit_status(run) == 0:
            return judgement.GuestExit("the guest exited with status 0", 0)
        return original(run)

    around(patch, judgement, "_verdict", verdict)


@FAMILY.mutant
def every_exit_status_is_one(patch):
    """The status is cut to whether it is zero."""
    _confusing(patch, Verdict.EXIT, {"code": 1})


@FAMILY.mutant
def exit_in_success_told_as_return(patch):
    """A guest that ends itself with status 0 has returned, whatever was due."""
    answering(patch, lambda answer, _: _as(Verdict.OK, value=None) if answer.code == 0 else {})


@FAMILY.mutant
def exit_statuses_have_seven_bits(patch):
    """The rest of the status is cut off."""
    answering(patch, lambda answer, _: {"code": answer.code & 0x7F} if answer.verdict is Verdict.EXIT else {})


@FAMILY.mutant
def large_exit_statuses_told_as_trap(patch):
    """A status above those that shells leave to programs is refused."""
    answering(patch, lambda answer, _: _as(Verdict.TRAP, trap="unknown") if (answer.code or 0) > 125 else {})


@FAMILY.mutant
def names_of_imports_are_read_as_causes(patch):
    """The last lines of an error tell what happened, whoever wrote them."""
    is_forged = re.compile(r"resource limit exceeded: memory count").search
    forged = _as(Verdict.RESOURCE_LIMIT, resource="memories")
    answering(patch, lambda answer, _: forged if is_forged(answer.message or "") else {})


@FAMILY.mutant
def imports_are_defined_once(patch):
    """An import that is declared again is refused."""

    def check(original, component, host, wasi):
        imports = component.shape.imports if component.kind == "module" else ()
        if len(set(imports)) < len(imports):
            raise LinkError("an import is defined twice")
        return original(component, host, wasi)

    around(patch, module_calls, "check_imports", check)


@FAMILY.mutant
def link_error_told_as_trap(patch):
    """What keeps a guest from being instantiated is a trap."""
    _confusing(patch, Verdict.LINK_ERROR, _as(Verdict.TRAP, trap="unknown"))


@FAMILY.mutant
def link_error_told_as_invalid_component(patch):
    """A component that cannot be linked is taken for none."""
    _confusing(patch, Verdict.LINK_ERROR, _as(Verdict.INVALID_COMPONENT))


@FAMILY.mutant
def invalid_component_told_as_trap(patch):
    """What is no component fails when it is first used."""
    _confusing(patch, Verdict.INVALID_COMPONENT, _as(Verdict.TRAP, trap="unknown"))


@FAMILY.mutant
def invalid_component_told_as_ok(patch):
    """What cannot be loaded is nothing to worry about."""
    _confusing(patch, Verdict.INVALID_COMPONENT, _as(Verdict.OK, value=None))


@FAMILY.mutant
def a_trap_told_as_ok(patch):
    """The error of a call is dropped."""
    _confusing(patch, Verdict.TRAP, _as(Verdict.OK, value=None))


@FAMILY.mutant
def every_trap_is_unreachable(patch):
    """All traps have one kind."""
    _confusing(patch, Verdict.TRAP, {"trap": "unreachable"})


@FAMILY.mutant
def no_trap_has_a_kind(patch):
    """Which trap it was is left out."""
    _confusing(patch, Verdict.TRAP, {"trap": None})


@FAMILY.mutant
def traps_of_components_have_no_kind(patch):
    """The errors of components are text, so their traps are unknown."""
    answering(
        patch,
        lambda answer, request: {"trap": "unknown"} if answer.verdict is Verdict.TRAP and is_component(request) else {},
    )


@FAMILY.mutant
def traps_without_a_code_have_no_kind(patch):
    """Where wasmtime gives no code, nothing is told."""
    patch.setattr(judgement, "_TRAPS", ())


@FAMILY.mutant
def division_and_overflow_are_one(patch):
    """Both come with the same signal."""
    answering(
        patch,
        lambda answer, _: {"trap": "integer-division-by-zero"} if answer.trap == "integer-overflow" else {},
    )


@FAMILY.mutant
def tables_and_memories_are_out_of_bounds_alike(patch):
    """What is out of bounds is out of the bounds of memory."""
    answering(
        patch,
        lambda answer, _: {"trap": "memory-out-of-bounds"} if "out-of-bounds" in (answer.trap or "") else {},
    )


@FAMILY.mutant
def an_uncaught_exception_is_a_host_error(patch):
    """An exception that leaves the guest is taken for one of the host's."""
    answering(patch, lambda answer, _: _as(Verdict.HOST_ERROR) if answer.trap == "uncaught-exception" else {})


@FAMILY.mutant
def a_stack_overflow_is_out_of_memory(patch):
    """The stack is memory, too."""
    answering(patch, lambda answer, _: _as(Verdict.OUT_OF_MEMORY) if answer.trap == "stack-overflow" else {})


@FAMILY.mutant
def values_that_are_none_are_passed_on(patch):
    """What a guest returns is not checked: what cannot be read is nothing."""
    broken = {
        "string-out-of-bounds",
        "list-out-of-bounds",
        "invalid-char",
        "invalid-discriminant",
        "invalid-string-encoding",
        "unaligned-pointer",
    }
    answering(patch, lambda answer, _: _as(Verdict.OK, value=None) if answer.trap in broken else {})


@FAMILY.mutant
def a_failed_instantiation_told_as_a_failed_call(patch):
    """The phase is left out."""
    answering(patch, lambda answer, _: {"phase": None})


@FAMILY.mutant
def every_failure_told_as_one_of_the_instantiation(patch):
    """What fails has never been instantiated."""
    answering(patch, lambda answer, _: {} if answer.verdict is Verdict.OK else {"phase": "instantiate"})


_TEXTS = {
    "all fuel consumed": OutOfFuel("all fuel consumed"),
    "interrupt": ExecutionTimeout("interrupt"),
    "unreachable": ComponentTrapped("unreachable", "unreachable"),
    "integer divide by zero": ComponentTrapped("division", "integer-division-by-zero"),
    "thrown Wasm exception": ComponentTrapped("exception", "uncaught-exception"),
}


@FAMILY.mutant
def endings_are_told_from_text(patch):
    """The first known phrase of the message decides; but the names in it are the guest's."""

    def verdict(original, run):
        failure = judgement._failure(run)
        found = failure and re.search("|".join(_TEXTS), failure.message)
        return _TEXTS[found[0]].with_traceback(None) if found else original(run)

    around(patch, judgement, "_verdict", verdict)


def _judging_first(patch, rule):
    """`rule(run, failure)` decides before all else, where it gives an error."""
    around(patch, judgement, "_verdict", lambda verdict, run: rule(run, judgement._failure(run)) or verdict(run))


@FAMILY.mutant
def the_timeout_comes_before_fuel(patch):
    """Of both, the timeout is told."""
    _judging_first(patch, lambda run, _: ExecutionTimeout("") if run.stop is Stop.TIMEOUT else None)


@FAMILY.mutant
def a_refused_growth_comes_before_fuel(patch):
    """A guest that was refused memory once and runs out of fuel later is out of memory."""
    _judging_first(
        patch,
        lambda run, failure: (
            OutOfMemory("") if failure and failure.kind == "out-of-fuel" and run.account.denied_growths else None
        ),
    )


@FAMILY.mutant
def a_refused_growth_comes_before_the_timeout(patch):
    """A guest that was refused memory once and runs out of time later is out of memory."""
    _judging_first(
        patch,
        lambda run, failure: OutOfMemory("") if run.stop is Stop.TIMEOUT and run.account.denied_growths else None,
    )


@FAMILY.mutant
def a_trap_comes_before_a_refused_growth(patch):
    """Of both, the trap is told."""
    _judging_first(
        patch,
        lambda run, failure: (
            judgement._trap(failure)
            if failure and failure.kind not in (None, "out-of-fuel", "interrupt") and run.account.denied_growths
            else None
        ),
    )


@FAMILY.mutant
def any_failure_after_the_deadline_is_its_own(patch):
    """A guest that comes back from the host too late, and traps, has trapped."""

    def rule(run, failure):
        return ComponentTrapped("", "unreachable") if run.stop is Stop.TIMEOUT and run.in_host else None

    _judging_first(patch, rule)
