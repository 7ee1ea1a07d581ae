"""Runtimes that end, hang, or say what is not so: they are told by what their process does."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial

from msgspec import structs

from mutants.mutant import Family, around
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.protocol import server as serve
from pytest_airssys_wasm.protocol.messages import RunAnswer
from pytest_airssys_wasm.runtime import engine
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.binary import facts
from pytest_airssys_wasm.runtime.binary import sections as core_sections
from pytest_airssys_wasm.runtime.compile import wasmtime_config
from pytest_airssys_wasm.runtime.wit import reader as wit_reader

FAMILY = Family("process")


def _after(patch, verdict, act, trap=None):
    """`act(answer)` gives the answer, or never comes back, when the last step ended so."""

    def run(original, self, request):
        answer = original(self, request)
        last = answer.steps[-1]
        return act(answer) if last.verdict is verdict and trap in (None, last.trap) else answer

    around(patch, InProcessRuntime, "run", run)


@FAMILY.lone_mutant
def dies_on_a_trap(patch):
    """A trap ends the process."""
    _after(patch, Verdict.TRAP, lambda _: os._exit(1))


@FAMILY.lone_mutant
def dies_on_a_stack_overflow(patch):
    """The guest's stack is the host's, and overflows with it."""
    _after(patch, Verdict.TRAP, lambda _: os.kill(os.getpid(), signal.SIGSEGV), trap="stack-overflow")


@FAMILY.lone_mutant
def dies_when_memory_is_refused(patch):
    """The host aborts when it has no memory to give."""
    _after(patch, Verdict.OUT_OF_MEMORY, lambda _: os.abort())


@FAMILY.lone_mutant
def hangs_after_a_host_error(patch):
    """After a host function has failed, no answer comes."""
    _after(patch, Verdict.HOST_ERROR, lambda _: threading.Event().wait())


@partial(FAMILY.lasting_mutant, alone=True)
def hangs_after_a_crash(patch):
    """The request after an `unreachable` is not answered."""
    crashed = threading.Event()

    def run(original, self, request):
        if crashed.is_set():
            threading.Event().wait()
        answer = original(self, request)
        if answer.steps[-1].trap == "unreachable":
            crashed.set()
        return answer

    around(patch, InProcessRuntime, "run", run)


@FAMILY.lone_mutant
def prints_between_the_answers(patch):
    """What the runtime logs of an exit goes where its answers go."""

    def encoded(original, answer):
        logs = isinstance(answer, RunAnswer) and answer.steps[-1].verdict is Verdict.EXIT
        return b"the guest exited\n" * logs + original(answer)

    around(patch, serve, "_encoded", encoded)


@FAMILY.lone_mutant
def answers_another_request(patch):
    """The number of the answer is not that of the request."""
    _after(patch, Verdict.OUT_OF_FUEL, lambda answer: structs.replace(answer, id=answer.id + 1))


@FAMILY.lone_mutant
def goes_on_after_a_failed_step(patch):
    """A step that failed is answered, and then another as if nothing had been."""

    def act(answer):
        healthy = structs.replace(answer.steps[0], verdict=Verdict.OK, trap=None, message=None)
        return structs.replace(answer, steps=[*answer.steps, healthy])

    _after(patch, Verdict.TRAP, act)


def _without(patch, *features):
    for feature in features:
        patch.setitem(wasmtime_config.SETTINGS, feature, False)


@FAMILY.mutant
def lies_about_exceptions(patch):
    """It claims the capability `exceptions`, and does not have it."""
    _without(patch, "wasm_exceptions")


@FAMILY.mutant
def lies_about_gc(patch):
    """It claims the capability `gc`, and does not have it."""
    _without(patch, "wasm_gc", "wasm_exceptions")


@FAMILY.mutant
def lies_about_tail_calls(patch):
    """It claims the capability `tail-call`, and does not have it."""
    _without(patch, "wasm_tail_call")


@FAMILY.mutant
def lies_about_several_memories(patch):
    """It claims the capability `multi-memory`, and does not have it."""
    _without(patch, "wasm_multi_memory")


@FAMILY.mutant
def lies_about_64_bit_memories(patch):
    """It claims the capability `memory64`, and does not have it."""
    _without(patch, "wasm_memory64")


@partial(FAMILY.lasting_mutant, alone=True)
def lies_about_compilers(patch):
    """It claims the capability `isolated-compile`, and loads what it is given where it runs, without any bound."""

    def hello(original, self):
        said = original(self)
        return structs.replace(said, capabilities=[*said.capabilities, "isolated-compile"])

    around(patch, InProcessRuntime, "hello", hello)
    patch.setattr(core_sections, "_MOST_BYTES", 2**40)
    patch.setattr(wit_reader, "_MOST_NAMES", 2**40)
    patch.setattr(engine, "_measured", lambda binary, name: 0)
    patch.setattr(facts, "_instance_bytes", lambda binary, name: 0)


@FAMILY.mutant
def has_threads(patch):
    """Threads and shared memory are on, where they are no part of the language."""
    patch.setitem(wasmtime_config.SETTINGS, "wasm_threads", True)
