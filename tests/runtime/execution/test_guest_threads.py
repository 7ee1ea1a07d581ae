"""The threads that guests run on."""

from __future__ import annotations

import queue
import threading
import weakref

from pytest_airssys_wasm.runtime.execution import guest_threads as workers
from pytest_airssys_wasm.runtime.execution.guest_threads import GuestThreads
from support.bombs import wait_for


class Store: ...


def test_whoever_is_told_last_finds_the_thread_free_and_nothing_held():
    pool, told, go = GuestThreads(), queue.Queue(), threading.Event()
    store = Store()
    held = weakref.ref(store)

    def job(store=store):
        go.wait(20)
        return lambda: told.put((held(), len(pool._idle)))

    pool.run(job)
    del job, store
    go.set()
    try:
        assert told.get(timeout=20) == (None, 1)
    finally:
        pool.close()


def started(pool, count):
    """Have so many threads run at once, and return them."""
    told, go = queue.Queue(), threading.Event()

    def job():
        go.wait(20)
        return lambda: told.put(threading.current_thread())

    for _ in range(count):
        pool.run(job)
    go.set()
    return [told.get(timeout=20) for _ in range(count)]


def test_threads_beyond_those_that_are_kept_end_when_no_job_comes(monkeypatch):
    monkeypatch.setattr(workers, "_LINGER_S", 0.01)
    pool = GuestThreads()
    threads = started(pool, 20)
    wait_for(lambda: sum(thread.is_alive() for thread in threads) == 8)
    assert len(pool._idle) == 8
    pool.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_threads_beyond_those_that_are_kept_take_the_next_jobs(monkeypatch):
    monkeypatch.setattr(workers, "_LINGER_S", 60)
    pool = GuestThreads()
    threads = started(pool, 20)
    assert {*started(pool, 20)} == {*threads}
    pool.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_thread_that_is_chosen_as_it_is_about_to_end_takes_the_job(monkeypatch):
    monkeypatch.setattr(workers, "_LINGER_S", 0.0)
    told = []

    class Idle(list):
        """The idle threads, of which one is chosen for a job just before it leaves."""

        def remove(self, thread):
            if not told:
                self.clear()
                thread.start(lambda: told.append("done"))
            super().remove(thread)

    monkeypatch.setattr(workers, "_IDLE", 0)
    idle = Idle()
    thread = workers._GuestThread(idle)
    thread.start(lambda: None)
    thread.serve()
    assert told == ["done"]
    assert idle == []


def test_who_lets_a_job_go_ahead_comes_back_when_it_has_begun(monkeypatch):
    monkeypatch.setattr(workers, "_WAKE_UP_S", 20)
    pool, told, go = GuestThreads(), queue.Queue(), threading.Event()

    def job():
        told.put("begun")
        go.wait(20)
        return lambda: told.put("over")

    class Slow(threading.Thread):
        def run(self):
            go.wait(0.05)
            super().run()

    monkeypatch.setattr(threading, "Thread", Slow)
    pool.run_ahead(job)
    assert told.get_nowait() == "begun"
    assert told.empty()
    go.set()
    assert told.get(timeout=20) == "over"
    pool.close()


def test_who_lets_a_job_go_ahead_waits_not_for_long(monkeypatch):
    pool, jobs = GuestThreads(), []
    monkeypatch.setattr(pool, "run", jobs.append)  # no thread has time for it
    pool.run_ahead(lambda: None)
    (job,) = jobs
    job()  # nobody waits any more
