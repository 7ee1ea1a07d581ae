"""Output of guests that is not bounded, or bounded with the wrong measure."""

from __future__ import annotations

import re
from pathlib import Path

from mutants.mutant import Family, answering, around, is_component, reading, rewriting, text_of
from pytest_airssys_wasm.conformance import inprocess
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import ComponentTrapped
from pytest_airssys_wasm.runtime.execution import verdict as judgement
from pytest_airssys_wasm.runtime.execution.clock import wait_done
from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
from pytest_airssys_wasm.runtime.execution.run import Stop
from pytest_airssys_wasm.runtime.store.store import LimitedStore

FAMILY = Family("output", soaks=True)


@FAMILY.mutant
def any_amount_is_written(patch):
    """What a guest writes is not limited."""
    reading(patch, lambda _: {"output_bytes": 2**30})


def _limit(patch, change):
    around(patch, CapturedOutput, "__init__", lambda make, self, limit_bytes: make(self, change(limit_bytes)))


@FAMILY.mutant
def one_byte_too_much_is_written(patch):
    """The limit is the first byte that may not be written, and is."""
    _limit(patch, lambda limit_bytes: limit_bytes + 1)


@FAMILY.mutant
def one_byte_too_little_is_written(patch):
    """The last byte within the limit is refused."""
    _limit(patch, lambda limit_bytes: limit_bytes - 1)


@FAMILY.mutant
def no_output_means_any(patch):
    """A limit of zero is taken for the lack of one."""
    _limit(patch, lambda limit_bytes: limit_bytes or 2**30)


@FAMILY.mutant
def each_stream_has_the_whole_limit(patch):
    """Stdout and stderr are limited each for itself."""

    def read(original, self, descriptor):
        both = self._captured
        name = self._readers.get(descriptor)
        self._captured = {name: both[name]} if name else both
        try:
            return original(self, descriptor)
        finally:
            self._captured = both

    around(patch, CapturedOutput, "_read", read)


@FAMILY.mutant
def stderr_is_not_limited(patch):
    """Only stdout is counted."""

    def read(original, self, descriptor):
        name, both, limit_bytes = self._readers.get(descriptor), self._captured, self._limit_bytes
        if name == "stderr":
            self._limit_bytes = 2**40
        elif name:
            self._captured = {name: both[name]}
        try:
            return original(self, descriptor)
        finally:
            self._captured, self._limit_bytes = both, limit_bytes

    around(patch, CapturedOutput, "_read", read)


@FAMILY.mutant
def each_call_has_the_whole_output(patch):
    """The limit is one of calls, and not of the store."""

    def begin(original, self, run, *rest):
        if self._backend.output is not None:
            for captured in self._backend.output._captured.values():
                captured.clear()
        original(self, run, *rest)

    around(patch, LimitedStore, "_begin", begin)


@FAMILY.mutant
def output_is_cut_in_silence(patch):
    """What is over the limit is thrown away, and the guest goes on."""
    patch.setattr(CapturedOutput, "_judge", lambda self, run: None)


@FAMILY.mutant
def output_is_looked_at_afterwards(patch):
    """A flood is noticed when its writer has returned."""

    def judge(original, self, run):
        if run.finished:
            original(self, run)

    around(patch, CapturedOutput, "_judge", judge)


@FAMILY.mutant
def nobody_reads_the_pipe(patch):
    """A guest that fills the pipe waits for a reader."""

    def wait(_original, self, run, timeout_s):
        done = wait_done(run, timeout_s)
        if done:
            self.drain()
            self._judge(run)
        return done

    around(patch, CapturedOutput, "wait", wait)


@FAMILY.lone_mutant
def output_leaves_its_pipes_open(patch):
    """The pipes of a store are not closed with it, up to a number."""
    left: list[CapturedOutput] = []

    def close(original, self):
        left.append(self)
        if len(left) == 100:
            while left:
                original(left.pop())

    around(patch, CapturedOutput, "close", close)


@FAMILY.mutant
def wasi_always_succeeds(patch):
    """The number of the error that a WASI function returns is thrown away."""

    def change(answer, request):
        is_wasi = "wasi_snapshot_preview1" in Path(request.component).read_text("utf-8")
        is_error = isinstance(answer.value, int) and 0 < answer.value < 77
        return {"value": 0} if is_wasi and is_error else {}

    answering(patch, change)


@FAMILY.mutant
def a_full_output_is_too_much(patch):
    """The limit is refused, and not only what is over it."""

    def judge(original, self, run):
        self.is_over = self.is_over or sum(map(len, self._captured.values())) >= self._limit_bytes
        original(self, run)

    around(patch, CapturedOutput, "_judge", judge)


@FAMILY.mutant
def two_limits_at_once_are_a_trap(patch):
    """A guest that is over its output and out of fuel is neither."""

    def verdict(original, run):
        failure = judgement._failure(run)
        is_both = run.stop is Stop.OUTPUT and failure is not None and failure.kind == "out-of-fuel"
        return ComponentTrapped("over two limits", "unknown") if is_both else original(run)

    around(patch, judgement, "_verdict", verdict)


@FAMILY.mutant
def what_was_closed_is_written_to(patch):
    """Closing a descriptor does nothing."""
    closing = r'\(import "wasi_snapshot_preview1" "fd_close" (\(func \$close \(param i32\) \(result i32\))\)\)'
    rewriting(patch, lambda text: re.sub(closing, r"\1 (i32.const 0))", text))


@FAMILY.lone_mutant
def zeroes_are_made_before_they_are_written(patch):
    """A guest that asks for zeroes costs the host what they take."""
    made: list[bytes] = []

    def run(original, self, request):
        if "write-zeroes" in text_of(request):
            made.append(b"0" * 2**26)
        return original(self, request)

    around(patch, InProcessRuntime, "run", run)


def _telling(patch, change):
    """Tell `change(text, answer, request)` in the place of what was written."""

    def changed(answer, request):
        texts = {"stdout": answer.stdout, "stderr": answer.stderr}
        return {name: change(text, answer, request) for name, text in texts.items() if text is not None}

    answering(patch, changed)


@FAMILY.mutant
def output_is_not_told(patch):
    """What a guest writes is taken from it, and thrown away."""
    _telling(patch, lambda *_: b"")


@FAMILY.mutant
def streams_are_told_as_each_other(patch):
    """Stdout is told as stderr, and stderr as stdout."""
    answering(patch, lambda answer, _: {"stdout": answer.stderr, "stderr": answer.stdout})


@FAMILY.mutant
def output_is_told_again(patch):
    """Each answer has all that was written in the store."""

    def new(original, self):
        self._told = dict.fromkeys(self._told, 0)
        return original(self)

    around(patch, inprocess._Output, "new", new)


@FAMILY.mutant
def output_of_start_functions_is_lost(patch):
    """What is written before the first call is not told with it."""
    written: dict[object, dict[str, int]] = {}

    def measured(original, store, execute, **known):
        found = original(store, execute, **known)
        if "phase" in known:
            written[store] = {"stdout": len(store.stdout), "stderr": len(store.stderr)}
        return found

    def new(original, self):
        for name, size_bytes in written.pop(self._store, {}).items():
            self._told[name] = max(self._told[name], size_bytes)
        return original(self)

    around(patch, inprocess, "_measured", measured)
    around(patch, inprocess._Output, "new", new)


@FAMILY.mutant
def last_words_are_lost(patch):
    """Of a guest that fails, what it wrote is thrown away."""
    _telling(patch, lambda text, answer, _: text if answer.verdict is Verdict.OK else b"")


@FAMILY.mutant
def ends_of_lines_are_translated(patch):
    """Output is read as text is."""
    _telling(patch, lambda text, *_: text.replace(b"\r\n", b"\n"))


@FAMILY.mutant
def output_that_is_no_text_is_replaced(patch):
    """What is not UTF-8 is told as question marks."""
    _telling(patch, lambda text, *_: text.decode("utf-8", "replace").encode())


@FAMILY.mutant
def output_ends_at_a_zero(patch):
    """What is written is told as a text of C."""
    _telling(patch, lambda text, *_: text.partition(b"\0")[0])


@FAMILY.mutant
def output_of_components_is_not_told(patch):
    """The streams of WASI 0.2 are others, and nobody reads them."""
    _telling(patch, lambda text, _, request: b"" if is_component(request) else text)
