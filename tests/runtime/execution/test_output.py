"""The output of a guest, read by the caller who waits for it."""

from __future__ import annotations

import queue
import threading

from pytest_airssys_wasm.runtime.capi.guard import GuardRun
from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
from pytest_airssys_wasm.runtime.execution.run import Run
from support.pausing_guest import PLENTY


def test_a_guest_whose_end_nobody_waited_for_does_not_stop_the_clock_of_the_next():
    output = CapturedOutput(1_000)
    heard = queue.Queue()
    runs = [Run(PLENTY, None, GuardRun()) for _ in range(2)]
    for run in runs:
        run.wake = output.wake

    def wait(timeout_s):
        threading.Thread(target=lambda: heard.put(output.wait(runs[1], timeout_s)), daemon=True).start()
        return heard.get(timeout=20)

    runs[0].finish()
    assert not wait(0.05)
    runs[1].finish()
    assert wait(60)
    output.close()
