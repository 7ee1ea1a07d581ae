"""Nothing that a process says is believed which cannot be: the caller gets `garbage`, and the next execution works."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from pytest_airssys_wasm import HostFunctions, LimitedStore, ProcessIsolation, ResourceLimits, RuntimeDied, WasmEngine
from pytest_airssys_wasm.isolation import pool

LIMITS = ResourceLimits(memory="1 MiB", fuel=1_000, timeout_ms=2_000, output=100, transfer="64 KiB")
GUEST = """(component
  (type $reply (record (field "text" string) (field "count" u8) (field "maybe" (option (tuple bool char)))))
  (import "ask" (func $ask (param "n" u8)))
  (core module $m (memory (export "memory") 1) (data (i32.const 16) "hello")
    (func (export "f") (result i32)
      (i32.store (i32.const 100) (i32.const 16)) (i32.store (i32.const 104) (i32.const 5))
      (i32.store8 (i32.const 108) (i32.const 7)) i32.const 100)
    (func (export "nothing")))
  (core instance $i (instantiate $m))
  (export $r "reply" (type $reply))
  (func (export "f") (result $r) (canon lift (core func $i "f") (memory (core memory $i "memory"))))
  (func (export "nothing") (canon lift (core func $i "nothing"))))"""
RIGHT = {"text": "hello", "count": 7, "maybe": None}

LIES = {
    "no-json": {"raw": "hello"},
    "no-object": {"raw": "[1, 2, 3]"},
    "no-utf-8": {"raw": '{"id": \xff}'},
    "deep": {"raw": "[", "times": 100_000},
    "a-line-without-end": {"raw": "x" * 1_000, "times": 5_000},
    "another-id": {"answer": {"id": 4_711}},
    "no-id": {"answer": {"id": None}},
    "no-end": {"answer": {"end": None}},
    "no-session": {"answer": {"session": None}},
    "a-verdict-that-there-is-not": {"end": {"verdict": "splendid"}},
    "a-verdict-that-no-execution-has": {"end": {"verdict": "invalid-config"}},
    "a-trap-without-kind": {"end": {"verdict": "trap"}},
    "no-usage": {"end": {"usage": None}},
    "more-fuel-than-the-budget": {"usage": {"fuel_consumed": 1_001}},
    "negative-memory": {"usage": {"peak_memory_bytes": -1}},
    "fractions-of-calls": {"usage": {"host_calls": 1.5}},
    "endless-time": {"usage": {"wall_ms": 1e300}},
    "no-time": {"usage": {"wall_ms": "nan"}},
    "endless-processor-time": {"usage": {"cpu_ms": 1e300}},
    "negative-processor-time": {"usage": {"cpu_ms": -1}},
    "negative-time-in-host-functions": {"usage": {"host_ms": -1}},
    "more-output-than-it-may": {"end": {"stdout": "A" * 400}},
    "output-that-is-no-base64": {"end": {"stdout": "?"}},
    "too-many-frames": {"end": {"verdict": "out-of-fuel", "frames": [["f", "m", 1, "s"]] * 300}},
    "a-value-of-another-type": {"end": {"value": 3}},
    "a-field-too-few": {"end": {"value": {"text": "x", "count": 1}}},
    "a-field-too-many": {"end": {"value": {**RIGHT, "more": 1}}},
    "a-number-out-of-range": {"end": {"value": {**RIGHT, "count": 256}}},
    "a-bool-for-a-number": {"end": {"value": {**RIGHT, "count": True}}},
    "half-a-character": {"end": {"value": {**RIGHT, "maybe": [True, "\ud800"]}}},
    "a-tuple-too-long": {"end": {"value": {**RIGHT, "maybe": [True, "a", 1]}}},
    "a-text-beyond-the-transfer-limit": {"end": {"value": {**RIGHT, "text": "a" * 70_000}}},
    "a-question-about-nothing": {"host_call": "no-such-import", "args": []},
    "a-question-with-wrong-args": {"host_call": "ask", "args": ["x"]},
    "a-question-with-too-many-args": {"host_call": "ask", "args": [1, 2]},
    "a-question-with-more-fuel-than-there-was": {"host_call": "ask", "args": [1], "more": {"fuel_left": 10_000}},
    "a-question-about-an-object-that-there-is-not": {"host_call": "[drop]", "args": [{"host_resource": 3}]},
    "a-question-without-an-object": {"host_call": "[drop]", "args": []},
}


@pytest.fixture(scope="module")
def liars(compile_cache, tmp_path_factory):
    """An engine with lying workers, and the file that tells them their lie; they are honest where there is none."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("worker")
        shutil.copy(Path(__file__).with_name("lying_worker.py"), folder / "lying_worker_here.py")
        patch.syspath_prepend(folder)
        patch.setattr(pool, "_MODULE", "lying_worker_here")
        engine = WasmEngine(compile_cache, isolation=ProcessIsolation(grace_ms=500))
        yield engine, folder / "lie.json"
        engine.close()


@pytest.fixture
def engine(liars):
    return liars[0]


@pytest.fixture
def tell(liars):
    """Make the workers lie; `None` makes them honest."""
    _, place = liars

    def tell(lie):
        if lie is None:
            place.unlink()
        else:
            place.write_text(json.dumps(lie))

    yield tell
    place.unlink(missing_ok=True)


@pytest.fixture
def host():
    host = HostFunctions()
    host.register("ask", lambda n: None)
    return host


# One of each kind; each costs a process.
FAST = {
    "no-json",
    "a-line-without-end",
    "another-id",
    "no-end",
    "a-verdict-that-there-is-not",
    "more-fuel-than-the-budget",
    "more-output-than-it-may",
    "a-value-of-another-type",
    "a-text-beyond-the-transfer-limit",
    "a-question-about-nothing",
    "a-question-with-wrong-args",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "lie",
    [pytest.param(lie, id=name, marks=[] if name in FAST else pytest.mark.slow) for name, lie in LIES.items()],
)
def test_a_lie_is_garbage_and_the_next_execution_works(engine, host, tell, lie):
    guest = engine.load(GUEST)
    tell(lie)
    with pytest.raises(RuntimeDied) as caught:
        engine.execute(guest, "f", limits=LIMITS, host=host)
    assert caught.value.reason == "garbage", caught.value
    assert len(str(caught.value)) < 2_000
    tell(None)
    assert engine.execute(guest, "f", limits=LIMITS, host=host).value.text == "hello"


@pytest.mark.parametrize("lie", ["a-number-out-of-range", "a-question-with-wrong-args"])
def test_what_could_be_a_fault_of_ours_is_kept_as_the_cause(engine, host, tell, lie):
    tell(LIES[lie])
    with pytest.raises(RuntimeDied) as caught:
        engine.execute(engine.load(GUEST), "f", limits=LIMITS, host=host)
    assert isinstance(caught.value.__cause__, (TypeError, ValueError))
    assert str(caught.value.__cause__) in str(caught.value)


@pytest.mark.slow
def test_a_value_where_there_is_none_is_garbage(engine, host, tell):
    tell({"end": {"value": 1}})
    with pytest.raises(RuntimeDied) as caught:
        engine.execute(engine.load(GUEST), "nothing", limits=LIMITS, host=host)
    assert caught.value.reason == "garbage"


@pytest.mark.slow
def test_a_worker_that_leaves_is_told_by_its_status(engine, host, tell):
    tell({"exit": 3})
    with pytest.raises(RuntimeDied, match="status 3") as caught:
        engine.execute(engine.load(GUEST), "f", limits=LIMITS, host=host)
    assert caught.value.reason == "status"


@pytest.mark.slow
def test_an_answer_after_the_grace_is_silence(engine, host, tell):
    tell({"sleep": 60})
    with pytest.raises(RuntimeDied) as caught:
        engine.execute(engine.load(GUEST), "f", limits=LIMITS, host=host)
    assert caught.value.reason == "silence"


@pytest.mark.slow
def test_what_is_right_is_believed(engine, host, tell):
    tell({"end": {"value": {**RIGHT, "text": "liar", "maybe": [True, "a"]}}, "answer": {}})
    value = engine.execute(engine.load(GUEST), "f", limits=LIMITS, host=host).value
    assert (value.text, value.maybe) == ("liar", (True, "a"))


NUMBERS = """(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"""
# The fields of a frame: 0, the number, the fuel left, the beginning, the end, processor time, memory, growths; a value.
FRAMES = {
    "a-frame-too-short": "true[:-1]",
    "a-frame-too-long": "true + b'x'",
    "a-frame-of-another-call": "true[:8] + struct.pack('<Q', 4_711) + true[16:]",
    "a-frame-with-more-fuel-than-the-budget": "true[:16] + struct.pack('<Q', 1_001) + true[24:]",
    "a-frame-that-ends-before-it-begins": "true[:24] + true[32:40] + true[24:32] + true[40:]",
    "a-frame-with-negative-time": "true[:40] + struct.pack('<q', -1) + true[48:]",
    "a-frame-with-negative-memory": "true[:48] + struct.pack('<q', -1) + true[56:]",
    "a-frame-with-negative-growths": "true[:56] + struct.pack('<q', -1) + true[64:]",
    "a-line-that-is-no-json": "b'hello\\n'",
    "a-line-of-another-call": """json.dumps({"id": 4_711}).encode() + b"\\n\"""",
    "a-line-without-an-end": "b'{' + b'x' * 5_000_000",
    "a-refusal": """json.dumps({"id": struct.unpack_from("<Q", true, 8)[0], "error": "no"}).encode() + b"\\n\"""",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lie, id=name, marks=[] if name.endswith(("-call", "budget")) else pytest.mark.slow)
        for name, lie in FRAMES.items()
    ],
)
def test_a_lie_in_a_frame_is_told_and_the_next_store_works(engine, tell, lie):
    guest = engine.load(NUMBERS)
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(guest)
        assert [instance.add(1, 2), instance.add(2, 2)] == [3, 4]
        tell({"frame": lie})
        with pytest.raises(RuntimeDied) as caught:
            instance.add(1, 2)
        assert caught.value.reason == ("refusal" if "error" in lie else "garbage"), caught.value
        assert len(str(caught.value)) < 2_000
        assert not store.is_usable
    tell(None)
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(guest)
        assert [instance.add(1, 2), instance.add(2, 2)] == [3, 4]


@pytest.mark.slow
def test_a_line_that_comes_byte_by_byte_does_not_hold_its_caller(engine, tell):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(engine.load(NUMBERS))
        assert [instance.add(1, 2), instance.add(2, 2)] == [3, 4]
        tell({"frame": "b'x' * 100", "pauses": 100})
        started = time.monotonic()
        with pytest.raises(RuntimeDied, match=r"no answer in 0\.5 s") as caught:
            instance.add(1, 2)
        assert 0.5 <= time.monotonic() - started < 5
        assert caught.value.reason == "silence"
