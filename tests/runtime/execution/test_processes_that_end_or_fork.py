"""Guests in a process that ends, forks, or starts other programs.

Each promise was tried with the guard broken: the child believes in its parent's keeper.
"""

from __future__ import annotations

import pytest

from support.spinning_guest import script


@pytest.mark.slow
def test_an_interpreter_ends_while_a_guest_runs_on_a_thread():
    done = script(
        """
        engine.on_execution = lambda _: None  # an observer needs a run of each
        guest = engine.load(SPIN)
        threading.Thread(target=lambda: engine.execute(guest, "spin", limits=limits(LONG_MS)), daemon=True).start()
        while not engine.runs: time.sleep(0.01)
        print("ends")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ends\n", "")


@pytest.mark.slow
def test_an_interpreter_ends_while_a_guest_runs_without_a_run():
    done = script(
        """
        import weakref
        code = "(loop (i32.store (i32.const 0) (i32.const 1)) (br 0))"  # what it writes to must stay
        guest = engine.load(f'(module (memory 1) (func (export "spin") {code}))')
        store = LimitedStore(engine, limits(LONG_MS))
        instance, account = store.instantiate(guest), store._backend.account
        threading.Thread(target=instance.spin, daemon=True).start()
        while not account.started_ns or account.finished_ns: time.sleep(0.01)
        assert not engine.runs
        weakref.finalize(instance, time.sleep, 0.2)
        print("ends")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ends\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("imports", ["", '(import "" "host" (func))'], ids=["on its thread", "on a parked thread"])
def test_a_store_is_not_entered_after_the_process_has_begun_to_end(imports):
    done = script(
        f"""
        from pytest_airssys_wasm import HostFunctions, StoreUnusable

        def late():
            try:
                instance.nop()
            except StoreUnusable as error:
                print(error)

        guest = engine.load('(module {imports} (memory 1) (func (export "nop")))')
        host = HostFunctions()
        host.register("host", print)
        instance = LimitedStore(engine, limits(LONG_MS), host=host).instantiate(guest)
        instance.nop(), instance.nop()
        """,
        first="import atexit; atexit.register(lambda: late())",  # what is registered first is called last
    )
    assert (done.returncode, done.stdout) == (
        0,
        "this store cannot be used any more: the process is ending; use another store\n",
    )


@pytest.mark.slow
def test_threads_go_on_calling_while_the_interpreter_ends():
    done = script(
        """
        guest = engine.load('(module (memory 1) (func (export "nop")))')
        def work():
            instance = LimitedStore(engine, limits(LONG_MS)).instantiate(guest)
            began.append(instance.nop())
            while True:
                instance.nop()

        threading.excepthook = lambda _: None  # the store is refused at the end

        began = []
        for _ in range(4): threading.Thread(target=work, daemon=True).start()
        while len(began) < 4: time.sleep(0.01)
        print("ends")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ends\n", "")


@pytest.mark.slow
def test_a_guest_may_run_when_the_interpreter_ends_and_not_afterwards():
    done = script(
        """
        import atexit
        guest = engine.load(SPIN)

        @atexit.register
        def late():
            try:
                engine.execute(guest, "spin", limits=limits(50))
            except ExecutionTimeout:
                print("late")

        class Later:
            def __del__(self):
                engine.execute(guest, "spin", limits=limits(50))

        kept = Later()
        """
    )
    assert (done.returncode, done.stdout) == (0, "late\n")
    assert "the interpreter is ending" in done.stderr


@pytest.mark.slow
def test_a_forked_child_keeps_deadlines():
    done = script(
        """
        guest = engine.load(SPIN)
        def late():
            try:
                engine.execute(guest, "spin", limits=limits(50))
            except ExecutionTimeout:
                return "late"
        assert late() == "late"
        child = os.fork()
        if not child:
            os._exit(10 if late() == "late" else 11)
        print(late(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    assert done.stdout == "late 10\n", done.stderr


@pytest.mark.slow
def test_a_guest_that_is_forked_by_a_signal_handler_keeps_its_deadline_in_both_processes():
    done = script(
        """
        guest, children = engine.load(SPIN), []
        signal.signal(signal.SIGALRM, lambda *_: children.append(os.fork()))
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        try:
            engine.execute(guest, "spin", limits=limits(300))
        except ExecutionTimeout:
            if not children[0]:
                os._exit(10)
            print("late", os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
        """
    )
    assert done.stdout == "late 10\n", done.stderr


@pytest.mark.slow
def test_other_programs_are_started_beside_guests():
    done = script(
        """
        guest = engine.load(SPIN)
        def late():
            try:
                engine.execute(guest, "spin", limits=limits(400))
            except ExecutionTimeout:
                print("late")
        thread = threading.Thread(target=late)
        thread.start()
        for _ in range(5):
            assert subprocess.run(["/bin/sh", "-c", "exit 3"], close_fds=False).returncode == 3
        thread.join()
        """
    )
    assert done.stdout == "late\n", done.stderr
