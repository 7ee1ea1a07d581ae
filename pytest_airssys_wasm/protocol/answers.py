"""The decoding of the lines of adapters and workers.

Lines with content that the protocol does not allow are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, structs

from pytest_airssys_wasm.protocol.envelope import UNREADABLE
from pytest_airssys_wasm.protocol.messages import (
    CAPABILITIES,
    MESSAGE_CHARACTERS,
    PROTOCOL,
    HelloAnswer,
    RunAnswer,
    StepAnswer,
)
from pytest_airssys_wasm.protocol.session_messages import HostCall, SessionAnswer
from pytest_airssys_wasm.protocol.transcript import line_text
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.errors import RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Iterable

Answer = TypeVar("Answer")

_MOST = 2**64
_DEPTH = 200
"""The maximum nesting of a value. No case needs more levels, and Python cannot print values with many more."""
_NAME_CHARACTERS = 200
_SHOWN_CHARACTERS = 200


class _Error(Struct, frozen=True):
    """The fields that any answer may have in addition to its own."""

    error: str | None = None
    protocol: int = PROTOCOL


# Made here and not by the first to need them: two threads at once would crash msgspec.
_ERROR = msgspec.json.Decoder(_Error)
_HELLO = msgspec.json.Decoder(HelloAnswer)
_RUN = msgspec.json.Decoder(RunAnswer)
_SESSION = msgspec.json.Decoder(SessionAnswer)
_HOST_CALL = msgspec.json.Decoder(HostCall)


def read_hello(line: bytes) -> HelloAnswer:
    """Return the answer to `hello`.

    Raises `RuntimeDied` for a line that is not a valid answer, or that names unknown capabilities.
    """
    answer = _decoded(line, _HELLO)
    for name in ("runtime", "version"):
        text = getattr(answer, name)
        if not text.strip() or len(text) > _NAME_CHARACTERS or printable(text) != text:
            raise _garbage(f"{name}: expected a short printable text", line)
    unknown = [name for name in answer.capabilities if name not in CAPABILITIES]
    if unknown:
        known = ", ".join(CAPABILITIES)
        raise _garbage(f"capabilities: {unknown[0]!r} is not one of {known}", line)
    return answer


def read_run(line: bytes, asked: int) -> RunAnswer:
    """Return the answer to `run` or `configure` with this number of steps.

    Raises `RuntimeDied` for a line that is not a valid answer.
    """
    answer = _decoded(line, _RUN)
    if not 0 < len(answer.steps) <= asked:
        raise _garbage(f"steps: {len(answer.steps)} answers to {asked} steps", line)
    *before, last = answer.steps
    if any(step.verdict is not Verdict.OK for step in before):
        raise _garbage("steps: there are answers after a step that was not ok", line)
    if last.verdict is Verdict.OK and len(answer.steps) < asked:
        raise _garbage(f"steps: {len(answer.steps)} answers to {asked} steps, and the last of them is ok", line)
    for step in answer.steps:
        _check_numbers(step, line)
    return structs.replace(answer, steps=[_shortened(step) for step in answer.steps])


def read_session_answer(line: bytes) -> SessionAnswer:
    """Return the answer to a request of a session. Raises `RuntimeDied` for a line that is not a valid answer."""
    return _decoded(line, _SESSION)


def read_host_call(line: bytes) -> HostCall:
    """Decode a line to a host call. Raises `RuntimeDied` for a line that is not a valid host call."""
    return _decoded(line, _HOST_CALL)


def _decoded(line: bytes, decoder: msgspec.json.Decoder[Answer]) -> Answer:
    try:
        refusal = _ERROR.decode(line)
        if refusal.protocol != PROTOCOL:
            raise _garbage(f"protocol: expected {PROTOCOL}, got {refusal.protocol}", line)
        if refusal.error is not None:
            raise RuntimeDied(
                f"it refused the request: {line_text(refusal.error.encode('utf-8', 'replace'))}", "refusal"
            )
        return decoder.decode(line)
    except UNREADABLE as error:
        raise _garbage(str(error), line) from None


def _check_numbers(step: StepAnswer, line: bytes) -> None:
    for name in ("fuel_consumed", "elapsed_ms", "peak_memory_bytes", "denied_growths"):
        figure = getattr(step, name)
        if figure is not None and figure < 0:
            raise _garbage(f"{name}: expected at least 0, got {figure}", line)
    figures = [
        getattr(step, name)
        for name in ("code", "fuel_consumed", "elapsed_ms", "peak_memory_bytes", "denied_growths", "limits")
    ]
    level: list[Any] = [*figures, None if step.value is UNSET else step.value]
    for _ in range(_DEPTH):
        for one in level:
            if isinstance(one, int) and abs(one) > _MOST:
                raise _garbage("a number beyond 64 bits", line)
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return
    raise _garbage(f"a value nested deeper than {_DEPTH} levels", line)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _shortened(step: StepAnswer) -> StepAnswer:
    if step.message is None:
        return step
    return structs.replace(step, message=step.message[:MESSAGE_CHARACTERS])


def _garbage(what: str, line: bytes) -> RuntimeDied:
    return RuntimeDied(f"its answer breaks the protocol ({what}): {line_text(line, _SHOWN_CHARACTERS)}", "garbage")
