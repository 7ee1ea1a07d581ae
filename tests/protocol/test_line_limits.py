"""An answer too long for a line keeps its verdict as far as it can, and always its figures."""

from __future__ import annotations

import io
import json

from pytest_airssys_wasm.protocol.envelope import LINE_BYTES, fitting
from pytest_airssys_wasm.protocol.server import Server
from pytest_airssys_wasm.protocol.session_messages import EndAnswer, SessionAnswer, UsageAnswer
from pytest_airssys_wasm.runtime.base.outcome import Verdict

USAGE = UsageAnswer(
    fuel_consumed=7,
    is_exact=True,
    wall_ms=1.0,
    peak_memory_bytes=0,
    denied_growths=0,
    host_calls=0,
    host_transfer_bytes=0,
)
MOST = 1_000


def fitted(**end):
    line = fitting(SessionAnswer(id=3, session=2, end=EndAnswer(usage=USAGE, **end)), MOST)
    assert len(line) <= MOST
    answer = json.loads(line)
    assert (answer["id"], answer["session"], answer["end"]["usage"]["fuel_consumed"]) == (3, 2, 7)
    return answer["end"]


def test_what_fits_stays_as_it_is():
    assert fitted(verdict=Verdict.OK, value="x" * 500)["value"] == "x" * 500


def test_a_result_that_is_too_long_is_a_resource_limit_and_the_output_is_told():
    end = fitted(verdict=Verdict.OK, value="x" * MOST, stdout=b"hello")
    assert (end["verdict"], end["resource"], end["stdout"]) == ("resource-limit", "host-transfer", "aGVsbG8=")
    assert "value" not in end


def test_a_trap_stays_one_without_frames_whose_names_are_too_long():
    end = fitted(verdict=Verdict.TRAP, trap="unreachable", frames=[("f" * MOST, None, 1, None)])
    assert (end["verdict"], end["trap"]) == ("trap", "unreachable")
    assert "frames" not in end


def test_output_that_is_too_long_goes_last():
    end = fitted(verdict=Verdict.TRAP, trap="unreachable", stdout=b"x" * MOST, stderr=b"y" * MOST)
    assert end["verdict"] == "trap"
    assert end.keys().isdisjoint({"stdout", "stderr"})


def test_an_adapter_writes_no_longer_line_than_the_protocol_allows():
    class Wordy:
        line_bytes = LINE_BYTES

        def answer(self, request, _ask):
            return SessionAnswer(id=request.id, end=EndAnswer(verdict=Verdict.OK, value="x" * LINE_BYTES, usage=USAGE))

    answers = io.BytesIO()
    Server(None, Wordy(), answers).answer(4, b'{"op": "close", "id": 4, "session": 1}')
    line = answers.getvalue()
    assert len(line) <= LINE_BYTES
    assert json.loads(line)["end"]["verdict"] == "resource-limit"
