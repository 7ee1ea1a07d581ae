"""What is not given back, or goes on after its end."""

from __future__ import annotations

import tempfile
import threading
from ctypes import CDLL, c_int, c_size_t, c_void_p
from functools import partial
from mmap import MAP_PRIVATE, mmap
from time import monotonic, monotonic_ns

from mutants import python_memories as memory
from mutants.mutant import Family, around, text_of
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.guard import RUNNING
from pytest_airssys_wasm.runtime.execution.run import Run
from pytest_airssys_wasm.runtime.guest import component_calls

FAMILY = Family("cleanup", soaks=True)


@FAMILY.lone_mutant
def stores_of_guests_that_were_given_up_are_kept(patch):
    """Nobody waits for them any more, and nobody releases them."""

    def finish(original, self):
        original(self)
        return True

    around(patch, Run, "finish", finish)


@FAMILY.lone_mutant
def guests_that_were_given_up_go_on(patch):
    """They are forgotten, and stopped only a second later."""

    def abandon(original, self):
        account = self.account
        if original(self):
            self.settle()  # the caller judges what was, and the guest goes on
            account.due_ns = monotonic_ns() + 1_000_000_000
            account.stop = RUNNING
        return self.abandoned

    def is_stopped(original, self):
        return original(self) and not self.abandoned

    around(patch, Run, "abandon", abandon)
    around(patch, Run, "is_stopped", is_stopped)


@FAMILY.lone_mutant
def address_space_is_kept(patch):
    """The pages of a memory are given back, and its reservation is not."""
    advise = CDLL(None).madvise
    advise.argtypes = (c_void_p, c_size_t, c_int)

    def unmap(self):
        advise(self.base, max(memory.PAGE_BYTES, self.reserved_bytes), 4)  # MADV_DONTNEED

    memory.account_in_python(patch)
    patch.setattr(memory.Mapping, "unmap", unmap)


@partial(FAMILY.lasting_mutant, alone=True)
def memory_is_kept(patch):
    """The pages of a memory are not given back."""
    memory.account_in_python(patch)
    patch.setattr(memory.Mapping, "unmap", lambda self: None)


@FAMILY.lone_mutant
def grown_memory_is_kept(patch):
    """Of a memory that has grown, only its initial pages are given back."""

    def grow(original, self, size_bytes):
        original(self, size_bytes)
        self.has_grown = True

    class Mapping(memory.Mapping):
        has_grown = False

        def unmap(self):
            if not self.has_grown:
                super().unmap()

    memory.account_in_python(patch)
    patch.setattr(memory, "Mapping", Mapping)
    around(patch, Mapping, "grow", grow)


@FAMILY.lone_mutant
def resources_are_kept(patch):
    """The handles that the host was given are never dropped."""
    patch.setattr(abi, "resource_any_delete", lambda handle: None)


@FAMILY.lone_mutant
def results_are_kept(patch):
    """The values that a call returned are read, and not freed."""
    patch.setattr(component_calls.vals, "val_delete", lambda address: None)


@FAMILY.lone_mutant
def arguments_are_kept(patch):
    """The values that a call was given are not freed."""
    kept = []

    def make(original, self, *args):
        original(self, *args)
        kept.append(self.transfer)

    around(patch, Run, "__init__", make)


@FAMILY.lone_mutant
def errors_are_kept(patch):
    """What a failure says is read, and not freed."""
    patch.setattr(abi, "error_delete", lambda address: None)


@FAMILY.lone_mutant
def guests_are_kept(patch):
    """Every run compiles its guest again, and keeps it."""
    kept = []

    def load(_original, self, path):
        kept.append(self._engine.load(path))
        return kept[-1]

    around(patch, InProcessRuntime, "_load", load)


def _keeping(patch, part):
    """Two megabytes are kept of each run of a guest in whose text this is."""
    kept = []

    def run(original, self, request):
        if part in text_of(request):
            # Pages of its own: what others gave back before would not let the process grow.
            left = mmap(-1, 2 * 2**20, flags=MAP_PRIVATE)
            left.write(b"1" * len(left))
            kept.append(left)
        return original(self, request)

    around(patch, InProcessRuntime, "run", run)


@FAMILY.lone_mutant
def exceptions_are_kept(patch):
    """An exception that was caught waits for a collection that never comes."""
    _keeping(patch, "try_table")


@FAMILY.lone_mutant
def what_a_guest_kept_is_kept(patch):
    """The resources that a guest made and never dropped wait for it."""
    _keeping(patch, "resource.new")


def _leaving(patch, verdict, leave):
    """Call `leave()` after each run that ends with this verdict, or after each."""

    def run(original, self, request):
        answer = original(self, request)
        if verdict in (None, answer.steps[-1].verdict):
            leave()
        return answer

    around(patch, InProcessRuntime, "run", run)


def _thread(work):
    threading.Thread(target=work, daemon=True).start()


@FAMILY.lone_mutant
def a_thread_is_left_behind_by_each_run(patch):
    """It waits for what never comes."""
    _leaving(patch, None, lambda: _thread(threading.Event().wait))


@FAMILY.lone_mutant
def a_thread_is_left_behind_by_each_timeout(patch):
    """The thread that ended the guest waits for another."""
    _leaving(patch, Verdict.TIMEOUT, lambda: _thread(threading.Event().wait))


def _spin():
    until = monotonic() + 1
    while monotonic() < until:
        pass


@FAMILY.lone_mutant
def a_thread_spins_after_a_host_error(patch):
    """The host looks again and again whether the guest is gone."""
    _leaving(patch, Verdict.HOST_ERROR, lambda: _thread(_spin))


@FAMILY.lone_mutant
def a_thread_spins_after_a_timeout(patch):
    """The clock of a guest that was ended goes on for a second."""
    _leaving(patch, Verdict.TIMEOUT, lambda: _thread(_spin))


@FAMILY.lone_mutant
def a_temporary_file_is_left_behind_by_each_run(patch):
    """It is closed, and not removed."""
    _leaving(patch, None, lambda: tempfile.NamedTemporaryFile(delete=False).close())
