"""Stores that are not apart, and what they leave behind."""

from __future__ import annotations

import os
import time
from functools import partial
from threading import Lock, current_thread

from msgspec import structs

from mutants.mutant import Family, around, ending
from pytest_airssys_wasm.conformance import inprocess
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.protocol.messages import RunAnswer, StepAnswer
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.execution import open_files
from pytest_airssys_wasm.runtime.execution.open_files import OpenFiles
from pytest_airssys_wasm.runtime.store.store import LimitedStore

FAMILY = Family("isolation", soaks=True)


@FAMILY.mutant
def instances_are_kept_and_used_again(patch):
    """A run finds the instance of the run before, with all that it left there."""
    kept: dict[tuple[object, ...], LimitedStore] = {}
    lock = Lock()

    def make(original, self, request, limits):
        key = (id(self), request.component, limits, request.fuel_per)
        with lock:
            store = kept.pop(key, None)
        if store is None:
            store = original(self, request, limits)
            store.key = key
        return store

    def instantiate(original, self, component):
        if not hasattr(self, "instance"):
            self.instance = original(self, component)
        return self.instance

    def leave(original, self, *error):
        if getattr(self, "ended_well", False):
            with lock:
                kept[self.key] = self
        else:
            original(self, *error)

    def note(store, error):
        store.ended_well = error is None

    around(patch, InProcessRuntime, "_store", make)
    around(patch, LimitedStore, "instantiate", instantiate)
    around(patch, LimitedStore, "__exit__", leave)
    ending(patch, note)


@FAMILY.mutant
def every_call_has_an_instance_of_its_own(patch):
    """What a call leaves in its instance, the next does not find."""

    def call(original, instance, *what):
        return original(instance.store.instantiate(instance.component), *what)

    around(patch, inprocess, "_call", call)


@FAMILY.lasting_mutant
def after_a_failure_everything_fails(patch):
    """The engine is left in a state in which no guest can be entered."""
    poisoned: list[int] = []

    def run(original, self, request):
        if id(self) in poisoned:
            poisoned.remove(id(self))
            return RunAnswer(id=request.id, steps=[StepAnswer(verdict=Verdict.TRAP, trap="cannot-enter-component")])
        answer = original(self, request)
        if answer.steps[-1].verdict not in (Verdict.OK, Verdict.INVALID_CONFIG):
            poisoned.append(id(self))
        return answer

    around(patch, InProcessRuntime, "run", run)


@FAMILY.lasting_mutant
def a_failure_is_told_again(patch):
    """The last error is kept for the whole process, and told to the next guest that fails."""
    last: list[StepAnswer] = []

    def run(original, self, request):
        *before, ending = original(self, request).steps
        if ending.verdict is not Verdict.OK:
            last.append(ending)
            ending = last.pop(0) if len(last) > 1 else ending
        return RunAnswer(id=request.id, steps=[*before, ending])

    around(patch, InProcessRuntime, "run", run)


@partial(FAMILY.lasting_mutant, alone=True)
def a_store_is_left_behind_by_each_run(patch):
    """Stores are not closed."""
    left: list[LimitedStore] = []
    patch.setattr(LimitedStore, "__exit__", lambda self, *error: left.append(self))


@FAMILY.lone_mutant
def a_store_is_left_behind_by_each_crash(patch):
    """Only a store whose guest did well is closed."""
    left: list[LimitedStore] = []

    def leave(original, self, *error):
        if getattr(self, "failed", False):
            left.append(self)
        else:
            original(self, *error)

    def note(store, error):
        store.failed = error is not None

    around(patch, LimitedStore, "__exit__", leave)
    ending(patch, note)


@FAMILY.lone_mutant
def a_descriptor_is_left_behind_by_each_run(patch):
    """Something is opened for each store, and never closed."""
    left: list[int] = []

    def leave(original, self, *error):
        original(self, *error)
        left.append(os.open(os.devnull, os.O_RDONLY))
        # A process may have no more than about a thousand, and is not to fail for want of them.
        if len(left) == 500:
            while left:
                os.close(left.pop())

    around(patch, LimitedStore, "__exit__", leave)


@FAMILY.lone_mutant
def memory_is_left_behind_by_each_run(patch):
    """A little of each run is kept: records, and nobody reads them."""
    left: list[bytes] = []

    def run(original, self, request):
        left.append(os.urandom(200_000))
        return original(self, request)

    around(patch, InProcessRuntime, "run", run)


@FAMILY.mutant
def stores_wait_for_each_other(patch):
    """One lock for the engine: what is asked at once is done one after the other."""
    lock = Lock()

    def run(original, self, request):
        with lock:
            return original(self, request)

    around(patch, InProcessRuntime, "run", run)


@FAMILY.mutant
def what_is_asked_at_once_gets_one_answer(patch):
    """The answer lies in one place for all, where the last to come puts its own."""
    place: list[RunAnswer] = []

    def run(original, self, request):
        place[:] = [original(self, request)]
        if current_thread().name != "MainThread":
            time.sleep(0.02)
        return structs.replace(place[0], id=request.id)

    around(patch, InProcessRuntime, "run", run)


@FAMILY.mutant
def the_steps_are_answered_backwards(patch):
    """The answers are there, in the wrong order."""
    around(
        patch,
        InProcessRuntime,
        "run",
        lambda run, self, request: RunAnswer(id=request.id, steps=run(self, request).steps[::-1]),
    )


@FAMILY.mutant
def the_last_step_is_not_answered(patch):
    """One answer is missing, where there are several."""

    def run(original, self, request):
        answer = original(self, request)
        return structs.replace(answer, steps=answer.steps[:-1] or answer.steps)

    around(patch, InProcessRuntime, "run", run)


@FAMILY.mutant
def equal_calls_are_answered_from_memory(patch):
    """What a function returned for the same arguments, it is taken to return again."""

    def call(original, instance, name, args, loop):
        known = instance.store.__dict__.setdefault("answers", {})
        asked = name, repr(args)
        if asked not in known:
            known[asked] = original(instance, name, args, loop)
        return known[asked]

    around(patch, inprocess, "_call", call)


@FAMILY.lone_mutant
def a_store_is_left_behind_by_each_timeout(patch):
    """Only a store whose guest came to an end by itself is closed."""
    left: list[LimitedStore] = []

    def leave(original, self, *error):
        if getattr(self, "is_late", False):
            left.append(self)
        else:
            original(self, *error)

    def note(store, error):
        store.is_late = getattr(error, "verdict", None) is Verdict.TIMEOUT

    around(patch, LimitedStore, "__exit__", leave)
    ending(patch, note)


def _unlimited_after(patch, verdict, **limits):
    """Give the two runs after one that ends with this verdict these limits."""
    left = [0]

    def run(original, self, request):
        if left[0]:
            left[0] -= 1
            request = structs.replace(request, limits={**request.limits, **limits})
        answer = original(self, request)
        if answer.steps[-1].verdict is verdict:
            left[0] = 2
        return answer

    around(patch, InProcessRuntime, "run", run)


@FAMILY.lasting_mutant
def no_fuel_limit_after_a_host_error(patch):
    """A host function that failed leaves the meter off."""
    _unlimited_after(patch, Verdict.HOST_ERROR, fuel="unlimited")


@FAMILY.lasting_mutant
def no_fuel_limit_after_a_missing_import(patch):
    """A guest that could not be linked leaves the meter off."""
    _unlimited_after(patch, Verdict.LINK_ERROR, fuel="unlimited")


@FAMILY.lasting_mutant
def no_memory_limit_after_an_exit(patch):
    """A guest that ended itself takes the limit on memory with it."""
    _unlimited_after(patch, Verdict.EXIT, memory_bytes=2**30)


@FAMILY.lasting_mutant
def no_memory_limit_after_a_wrong_one(patch):
    """Limits that were refused leave none for the next guest."""
    _unlimited_after(patch, Verdict.INVALID_CONFIG, memory_bytes=2**30)


@FAMILY.lasting_mutant
def no_timeout_after_an_invalid_guest(patch):
    """A guest that could not be loaded leaves the clock stopped."""
    _unlimited_after(patch, Verdict.INVALID_COMPONENT, timeout_ms=3_000)


@FAMILY.lasting_mutant
def no_transfer_limit_after_a_trap(patch):
    """A guest that trapped leaves its account of transfer open."""
    _unlimited_after(patch, Verdict.TRAP, transfer_bytes=2**30)


@FAMILY.lasting_mutant
def no_output_limit_after_spent_fuel(patch):
    """A guest that ran out of fuel leaves its account of output open."""
    _unlimited_after(patch, Verdict.OUT_OF_FUEL, output_bytes=2**30)


@FAMILY.mutant
def any_number_of_files_may_be_open(patch):
    """Nobody counts the files that a guest holds open."""
    patch.setattr(OpenFiles, "are_too_many", lambda self: False)


@FAMILY.mutant
def hardly_any_file_may_be_open(patch):
    """A guest may hold fewer files open than any program needs."""
    patch.setattr(open_files, "MOST_OPEN_FILES", 8)
