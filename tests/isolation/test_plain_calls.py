"""Calls of numbers take a short way to the process of their guest, and keep every promise of the long one."""

from __future__ import annotations

import gc
import os
import signal
import struct
import threading
import time
from functools import partial
from pathlib import Path

import msgspec
import pytest

from pytest_airssys_wasm import ExecutionTimeout, LimitedStore, RuntimeDied, StoreUnusable, WasmEngine
from pytest_airssys_wasm.isolation.plain_pipe import PlainPipe
from pytest_airssys_wasm.isolation.plain_server import PlainServer
from pytest_airssys_wasm.isolation.sessions import Sessions
from pytest_airssys_wasm.protocol.limits import plain_limits
from pytest_airssys_wasm.protocol.session_messages import CloseRequest, OpenRequest
from pytest_airssys_wasm.runtime.store.direct_ends import DirectEnds
from runtime.guest.test_direct_calls import CALLS, CORE, WIT, limits, outcome
from support.bombs import wait_for
from support.descriptors import no_file_stays_open

SLOW = ("trap", "loop", "grow", "far", "text")


@pytest.fixture
def frames(monkeypatch):
    """The frames that were sent."""
    sent, ask = [], PlainPipe.ask

    def recording(pipe):
        def asked(address):
            sent.append(pipe.shared.written_bytes())
            return ask.__get__(pipe)(address)

        return asked

    monkeypatch.setattr(PlainPipe, "ask", property(recording, ask.__set__))
    return sent


@pytest.fixture
def endless(processes):
    """A function of an instance that was called before, and does not return if it is called with 0; and its store."""
    with LimitedStore(processes, limits(fuel=None, timeout_ms=None)) as store:
        instance = store.instantiate(processes.load(WIT))
        instance.loop(1)
        yield instance.loop, store


def outcomes(engine, source, name, arguments):
    """What calls of an export return and cost, one after the other in the same store."""
    found = []
    with LimitedStore(engine, limits()) as store:
        instance = store.instantiate(engine.load(source))
        for args in (arguments[0], *arguments):
            found.append(outcome(partial(instance.call, name, *args), lambda _: store.usage))
        found.append(store.total.fuel)
    return found


@pytest.mark.parametrize(
    ("source", "name", "arguments"),
    [pytest.param(*call, marks=pytest.mark.slow) if call[1] in SLOW else call for call in CALLS],
    ids=lambda value: value if isinstance(value, str) and len(value) < 9 else "",
)
def test_a_plain_call_ends_as_in_threads(processes, threads, source, name, arguments):
    found = outcomes(processes, source, name, arguments)
    assert found == outcomes(threads, source, name, arguments)


def test_calls_of_numbers_are_frames_and_others_are_not(processes, frames):
    with LimitedStore(processes, limits()) as store:
        instance = store.instantiate(processes.load(WIT))
        assert [instance.add(1, 2), instance.add(-1, 2), instance.add(2, 2)] == [3, 1, 4]
        assert len(frames) == 3
        assert [instance.text("x"), instance.text("y")] == ["x", "y"]
        assert len(frames) == 3
        with pytest.raises(ValueError, match="s32"):
            instance.add(2**31, 0)
        assert len(frames) == 3
        module = store.instantiate(processes.load(CORE))
        assert [module.both(1), module.both(2)] == [(1, 7), (2, 7)]
        assert [module.none(), module.none()] == [None, None]
        assert len(frames) == 7


def module_of(counts):
    """A module whose export `f<params>-<results>` returns its last parameter as its last result, and zeros before."""
    exports = []
    for params, results in counts:
        values = f"{'(i64.const 0) ' * (results - 1)}(local.get {params - 1})"
        signature = f"(param {'i64 ' * params}) (result {'i64 ' * results})"
        exports.append(f'(func (export "f{params}-{results}") {signature} {values})')
    return f"(module {''.join(exports)})"


@pytest.mark.slow
def test_as_many_numbers_as_fit_in_an_answer_are_frames(processes, frames):
    counts = [(params, results) for params in (1, 124, 125, 126, 127) for results in (1, 124, 125)]
    with LimitedStore(processes, limits()) as store:
        instance = store.instantiate(processes.load(module_of(counts)))
        for params, results in counts:
            frames.clear()
            for number in range(2):
                found = instance.call(f"f{params}-{results}", *range(params - 1), number)
                assert found == (number if results == 1 else (*[0] * (results - 1), number))
            assert len(frames) == (2 if max(params, results) <= 124 else 0)


@pytest.mark.slow
def test_two_stores_by_turns_and_one_after_the_other_get_their_own_answers(processes):
    for _ in range(2):
        with LimitedStore(processes, limits()) as one, LimitedStore(processes, limits()) as other:
            first, second = one.instantiate(processes.load(WIT)), other.instantiate(processes.load(CORE))
            for number in range(3):
                assert first.add(number, 1) == number + 1
                assert second.ints(number, 2) == number + 2


def test_each_plain_call_is_told_to_an_observer(processes, frames):
    seen = []
    with LimitedStore(processes, limits()) as store:
        instance = store.instantiate(processes.load(WIT))
        instance.add(1, 2)
        frames.clear()
        processes.on_execution = seen.append
        try:
            instance.add(3, 4)
        finally:
            processes.on_execution = None
    assert [str(finished.call) for finished in seen] == ["<call add(3, 4)>"]
    assert frames == []


def test_an_endless_call_ends_at_its_deadline_and_the_store_lives(processes):
    with LimitedStore(processes, limits(fuel=None, timeout_ms=50)) as store:
        instance = store.instantiate(processes.load(WIT))
        instance.loop(1)
        with pytest.raises(ExecutionTimeout) as caught:
            instance.loop(0)
        assert caught.value.usage.wall_ms >= 50
        assert caught.value.call.export == "loop"
        assert store.is_usable


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt, *(pytest.param(each, marks=pytest.mark.slow) for each in (TimeoutError, BrokenPipeError))],
)
def test_what_a_signal_handler_raises_ends_an_endless_call(endless, error):
    loop, store = endless
    process_id = store._backend._lease.worker.process_id

    def handle(*_):
        raise error("now")

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(error, match="now"):
            loop(0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(StoreUnusable, match="its process has ended"):
        loop(1)
    wait_for(lambda: not Path(f"/proc/{process_id}").exists())


@pytest.mark.slow
def test_a_process_with_an_open_call_is_not_given_to_another_store(make_engine, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt("again")

    def handle(*_):
        raise KeyboardInterrupt("now")

    monkeypatch.setattr(DirectEnds, "call_finished", interrupted)  # a second signal, before the first one is judged
    engine = make_engine()
    guest = engine.load(WIT)
    with LimitedStore(engine, limits(fuel=None, timeout_ms=None)) as store:
        loop = store.instantiate(guest).loop
        loop(1)
        before = signal.signal(signal.SIGALRM, handle)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt, match="again"):
                loop(0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    monkeypatch.undo()
    with LimitedStore(engine, limits()) as store:
        instance = store.instantiate(guest)
        assert [instance.add(1, 2), instance.add(2, 2)] == [3, 4]


@pytest.mark.slow
def test_a_signal_handler_that_returns_lets_the_call_go_on(processes):
    handled = []
    with LimitedStore(processes, limits(fuel=None, timeout_ms=200)) as store:
        instance = store.instantiate(processes.load(WIT))
        instance.loop(1)
        before = signal.signal(signal.SIGALRM, lambda *_: handled.append(1))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            with pytest.raises(ExecutionTimeout):
                instance.loop(0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert len(handled) > 1
        assert store.is_usable


def test_a_process_that_is_killed_in_the_middle_is_told(endless):
    loop, store = endless
    process_id, pipe = store._backend._lease.worker.process_id, store._backend._lease.worker.pipe
    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(process_id, signal.SIGKILL))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(RuntimeDied, match="killed by SIGKILL") as caught:
            loop(0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert caught.value.reason == "signal"
    assert not caught.value.usage.fuel.is_exact
    assert not store.is_usable
    assert (pipe.shared.to, pipe.shared.source) == (-1, -1)  # closed, although the function that used it is still there


@pytest.mark.slow
def test_a_process_that_was_killed_before_is_told(endless):
    loop, store = endless
    process_id = store._backend._lease.worker.process_id
    os.kill(process_id, signal.SIGKILL)
    with pytest.raises(RuntimeDied, match="SIGKILL"):
        loop(1)
    assert not store.is_usable


@pytest.mark.slow
def test_a_process_that_stands_still_is_ended_after_the_grace(processes):
    with LimitedStore(processes, limits(timeout_ms=900)) as store:
        instance = store.instantiate(processes.load(WIT))
        instance.add(1, 2)
        process_id = store._backend._lease.worker.process_id
        os.kill(process_id, signal.SIGSTOP)
        wait_for(lambda: Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        started = time.monotonic()
        with pytest.raises(RuntimeDied, match=r"no answer in 1\.4 s") as caught:
            instance.add(1, 2)
        assert time.monotonic() - started >= 1.4
    assert caught.value.reason == "silence"


@pytest.mark.slow
def test_a_forked_process_does_not_touch_the_pipes_of_its_parent(processes):
    with LimitedStore(processes, limits()) as store:
        instance = store.instantiate(processes.load(WIT))
        instance.add(1, 2)
        child = os.fork()
        if child == 0:
            try:
                instance.add(1, 2)
            except RuntimeDied:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert instance.add(3, 4) == 7


@pytest.mark.slow
def test_no_pipe_stays_open(make_engine):
    engine = make_engine()
    guest = engine.load(WIT)
    with no_file_stays_open():
        with LimitedStore(engine, limits()) as store:
            instance = store.instantiate(guest)
            instance.add(1, 2)
            instance.add(1, 2)
        engine.close()


@pytest.mark.slow
def test_a_store_that_nobody_holds_gives_its_process_back(make_engine):
    engine = make_engine()
    process_ids = set()
    for _ in range(3):
        store = LimitedStore(engine, limits())
        instance = store.instantiate(engine.load(WIT))
        assert [instance.add(1, 2), instance.add(1, 3)] == [3, 4]
        process_ids.add(store._backend._lease.worker.process_id)
        del store, instance
        gc.collect()
    assert len(process_ids) == 1


@pytest.fixture
def served(tmp_path):
    """The sessions of a worker in this process, a function that sends the frame of a call to its server and returns the
    answer, and the numbers of a session and of its export `none`."""
    (tmp_path / "guest.wat").write_text(CORE)
    to_server, from_server = os.pipe(), os.pipe()
    with WasmEngine() as engine:
        sessions = Sessions(engine, is_worker=True)
        wire = plain_limits(limits(fuel=1_000))
        opened = sessions.answer(OpenRequest(id=1, component=str(tmp_path / "guest.wat"), limits=wire), None)
        names = [*sessions.session(opened.session)[1].component.function_names()]
        server = threading.Thread(target=PlainServer(sessions).serve, args=(to_server[0], from_server[1]))
        server.start()

        def ask(number, session, name, *values):
            index = name if isinstance(name, int) else names.index(name)
            os.write(to_server[1], struct.pack(f"<QQI4x{'q8x' * len(values)}", number, session, index, *values))
            return os.read(from_server[0], 65_536)

        yield sessions, ask, opened.session
        os.close(to_server[1])
        server.join()
    for descriptor in (to_server[0], *from_server):
        os.close(descriptor)


def test_a_closed_session_leaves_no_function_in_its_process(served):
    sessions, ask, session = served
    assert ask(2, session, "none").startswith(b"\0")
    assert ask(3, session, "none").startswith(b"\0")
    assert len(sessions.plain_exports) == 1
    sessions.answer(CloseRequest(id=5, session=session), None)
    assert len(sessions.plain_exports) == 0
    assert b"no session" in ask(6, session, "none")


def test_a_worker_refuses_calls_that_its_driver_does_not_make_and_serves_on(served):
    _, ask, session = served
    assert b"no session 77 is open" in ask(2, 77, "none")
    assert b"out of range" in ask(3, session, 999)
    assert b"has 24 bytes, not 40" in ask(4, session, "none", 1)
    assert ask(5, session, "none").startswith(b"\0")
    assert b"has 24 bytes, not 40" in ask(6, session, "none", 1)
    assert ask(7, session, "none").startswith(b"\0")


def test_the_first_call_of_an_export_and_later_ones_may_fail(served):
    _, ask, session = served
    first, second = ask(2, session, "trap", 1), ask(3, session, "trap", 1)
    for number, line in ((2, first), (3, second)):
        answer = msgspec.json.decode(line)
        assert (answer["id"], answer["end"]["verdict"]) == (number, "trap")
    assert ask(4, session, "none").startswith(b"\0")
