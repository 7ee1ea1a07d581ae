"""A process that runs guests may end in any way: the caller gets a verdict, and the next execution works."""

from __future__ import annotations

import os
import signal
import time

import pytest

from pytest_airssys_wasm import LimitedStore, RuntimeDied, StoreUnusable, WasmEngine
from pytest_airssys_wasm.protocol.process_group import exited
from support.bombs import wait_for
from support.checkout import DOCS
from support.deaths import DEATHS, GUEST, ISOLATION, LIMITS, Death, by, host_that_strikes, processes


@pytest.fixture(scope="module")
def engine():
    engine = WasmEngine(isolation=ISOLATION)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def guest(engine):
    return engine.load(GUEST)


@pytest.mark.slow
@pytest.mark.parametrize("death", DEATHS, ids=lambda death: death.name.split(":")[0].replace(" ", "-"))
def test_a_death_is_a_verdict_and_the_next_execution_works(engine, guest, death):
    host = host_that_strikes(engine, death)
    with pytest.raises(RuntimeDied) as caught:
        engine.execute(guest, death.function, *death.args, limits=LIMITS, host=host)
    assert caught.value.reason == death.reason
    assert caught.value.call.export == death.function
    assert caught.value.usage is not None
    assert not caught.value.usage.fuel.is_exact
    assert engine.execute(guest, "add", 1, 2, limits=LIMITS, host=host).value == 3


def test_the_page_lists_every_death():
    page = (DOCS / "isolation.md").read_text("utf-8")
    assert [one.name for one in DEATHS if f"| {one.name} | RuntimeDied, `{one.reason}` |" not in page] == []


@pytest.mark.slow
def test_a_store_whose_process_died_is_over_and_others_live_on(engine, guest):
    host = host_that_strikes(engine, Death("kill", "signal"))
    with LimitedStore(engine, LIMITS, host=host) as one, LimitedStore(engine, LIMITS, host=host) as other:
        dies = one.instantiate(guest)
        (victim,) = processes(engine)
        lives = other.instantiate(guest)
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(RuntimeDied, match="SIGKILL"):
            dies.add(1, 2)
        with pytest.raises(StoreUnusable, match="has ended"):
            dies.add(1, 2)
        assert not one.is_usable
        assert lives.add(1, 2) == 3


@pytest.mark.slow
def test_a_process_that_died_while_it_was_idle_is_replaced_in_silence(engine, guest):
    host = host_that_strikes(engine, Death("none", ""))
    assert engine.execute(guest, "add", 1, 2, limits=LIMITS, host=host).value == 3
    idle = processes(engine)
    for process_id in idle:
        os.kill(process_id, signal.SIGKILL)
    wait_for(lambda: all(exited(process_id) is not None for process_id in idle))
    assert engine.execute(guest, "add", 1, 2, limits=LIMITS, host=host).value == 3
    assert not {*idle} & {*processes(engine)}


def test_a_silent_process_is_ended_when_its_grace_is_over(engine, guest):
    host = host_that_strikes(engine, Death("hang", "silence", strike=by(signal.SIGSTOP)))
    started = time.monotonic()
    with pytest.raises(RuntimeDied):
        engine.execute(guest, "call", limits=LIMITS, host=host)
    # Its deadline of 2 s and its grace of 0.3 s, and then at once.
    assert 2.3 <= time.monotonic() - started < 10
