"""A runtime that answers from a script."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.protocol.messages import HelloAnswer, RunAnswer
from pytest_airssys_wasm.runtime.errors import Verdict

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pytest_airssys_wasm.protocol.messages import StepAnswer


class ScriptedRuntime:
    """Gives every step the same answer, up to the first that is not ok; remembers what it was asked."""

    def __init__(self, *answers: StepAnswer) -> None:
        self.answers = answers
        self.requests: list[Any] = []
        self.capabilities = ["module", "wat", "fuel"]

    def hello(self) -> HelloAnswer:
        return HelloAnswer(id=0, runtime="scripted", version="1", capabilities=self.capabilities)

    def temporary_folder(self) -> AbstractContextManager[Path]:
        return nullcontext(Path("nothing-is-here"))

    def process_ids(self) -> tuple[int, ...]:
        return (1,)

    def run(self, request: Any) -> RunAnswer:
        self.requests.append(request)
        given = [self.answers[index % len(self.answers)] for index in range(len(request.steps))]
        failed = next((i for i, one in enumerate(given, 1) if one.verdict is not Verdict.OK), len(given))
        return RunAnswer(id=request.id, steps=given[:failed])

    def configure(self, request: Any) -> RunAnswer:
        self.requests.append(request)
        return RunAnswer(id=request.id, steps=[self.answers[0]])
