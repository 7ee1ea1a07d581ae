"""The stubs of `[[imports]]`: host functions that answer with the values of a manifest, and count their calls."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, field

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.values import decode, encode
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.binary.types import CoreFunction
from pytest_airssys_wasm.runtime.guest.component import similar_names
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.wave import write_call, write_value
from pytest_airssys_wasm.runtime.wit.handles import has_handle
from pytest_airssys_wasm.runtime.wit.types import FunctionType
from pytest_airssys_wasm.runtime.wit.world import functions
from pytest_airssys_wasm.validation.misfits import check_type, decode_results
from pytest_airssys_wasm.validation.stub_errors import NoAnswer, StubFailed
from pytest_airssys_wasm.validation.unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.manifest.model import ImportStub, StubAnswer

_MOST_LISTED = 20
"""The most imports that a remedy lists."""
_MOST_ANSWERS = 5
"""The most answers that a failure lists."""


class _Served(Struct, kw_only=True):
    """A stub that serves an import, and the number of its calls."""

    stub: ImportStub
    params: tuple[Any, ...]
    results: tuple[Any, ...]
    answers: deque[tuple[_Served, tuple[Any, ...], Any]]
    """The last answers of all stubs: who answered, the arguments, and the value."""
    calls: int = 0

    def __call__(self, *args: Any) -> Any:
        """Answer a call of the guest. Raises `StubFailed` or `NoAnswer`."""
        self.calls += 1
        answer = self._answer([encode(one) for one in args])
        if answer is None:
            call = write_call(self.stub.name, args, self.params)
            raise NoAnswer(f"the stub has no answer for {call}")
        if answer.fails is not UNSET:
            raise StubFailed(answer.fails)
        value = None if answer.returns is UNSET else decode_results(answer.returns, self.results)
        if self.results:
            self.answers.append((self, args, value))
        return value

    def line(self, args: tuple[Any, ...], value: Any) -> str:
        """Return the line of a message about an answer."""
        call = write_call(self.stub.name, args, self.params)
        values = value if len(self.results) > 1 else (value,)
        return f"{call} = {', '.join(map(write_value, values, self.results))}"

    def _answer(self, args: list[Any]) -> StubAnswer | ImportStub | None:
        for one in self.stub.when:
            wanted = [encode(decode(wire.from_toml(arg), type_)) for arg, type_ in zip(one.args, self.params)]
            if wire.same(wanted, args):
                return one
        stub = self.stub
        is_plain = not stub.when and not self.results  # it need not say that it returns nothing
        return stub if is_plain or stub.returns is not UNSET or stub.fails is not UNSET else None


class ServedStubs(Struct, frozen=True, kw_only=True):
    """The host functions of one check: those that are registered in Python, and stubs for other imports."""

    host: HostFunctions
    overruled: tuple[str, ...] = ()
    """The names of stubs that are not used, because a function is registered for the import."""
    _served: tuple[_Served, ...] = field(default=())
    _answers: deque[tuple[_Served, tuple[Any, ...], Any]] = field(default_factory=deque)

    def forget_answers(self) -> None:
        """Begin a new call, whose answers `answer_lines` returns."""
        self._answers.clear()

    def answer_lines(self) -> list[str]:
        """Return the lines of a message about the last answers of stubs to the guest since `forget_answers`."""
        if not self._answers:
            return []
        return ["the stubs answered:", *(f"  {served.line(args, value)}" for served, args, value in self._answers)]

    def counts(self) -> dict[str, int]:
        """Return the number of calls of each stub so far, by its name."""
        return {one.stub.name: one.calls for one in self._served}

    def miscounted(self, before: dict[str, int]) -> Iterator[str]:
        """Yield a sentence for each stub that was called another number of times since `before` than its manifest
        says.
        """
        for one in self._served:
            calls = one.calls - before[one.stub.name]
            if one.stub.calls is not UNSET and calls != one.stub.calls:
                yield f"{one.stub.name} was called {counted(calls, 'time')}, calls is {one.stub.calls:,}"

    def note(self) -> str:
        """Return the words for a note that registered functions replace stubs; else nothing."""
        if not self.overruled:
            return ""
        return f"; a function registered in Python serves {', '.join(self.overruled)}, not the stub"


def serve_stubs(component: Component, host: HostFunctions, stubs: Sequence[ImportStub]) -> ServedStubs:
    """Return the host functions together with stubs for the imports that they do not serve.

    Raises `Unfit` for a stub of something that the guest does not import, and for one whose values cannot fit.
    """
    if not stubs:
        return ServedStubs(host=host)
    known = imported_functions(component)
    own = HostFunctions()
    overruled, served = [], []
    answers: deque[tuple[_Served, tuple[Any, ...], Any]] = deque(maxlen=_MOST_ANSWERS)
    for stub in {stub.name: stub for stub in reversed(stubs)}.values():  # the first of a name
        if stub.name not in known:
            raise Unfit(f"[[imports]] names {stub.name}, which it does not import", _imports(stub.name, known))
        one = _Served(stub=stub, params=known[stub.name][0], results=known[stub.name][1], answers=answers)
        _check(one)
        interface, _, name = stub.name.rpartition("#")
        if host.find(interface, name) is not None:
            overruled.append(stub.name)
        else:
            own.register(stub.name, one, repeatable=True)
            served.append(one)
    return ServedStubs(host=own.merged(host), overruled=tuple(overruled), _served=tuple(served), _answers=answers)


def imported_functions(component: Component) -> dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Return the types of the parameters and results of all imported functions, by their full names."""
    found: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {}
    imports: dict[str, Any] = {**component.imports}
    if component.kind == "component":
        imports = dict(functions(imports))
    for name, type_ in imports.items():
        match type_:
            case FunctionType(params, result):
                found[name] = tuple(one for _, one in params), () if result is None else (result,)
            case CoreFunction(params, results):
                found[name] = params, results
    return found


def _check(one: _Served) -> None:
    """Raise `Unfit` for answers that can be seen not to fit the type of the import."""
    stub = one.stub
    for number, answer in enumerate(stub.when, 1):
        if len(answer.args) != len(one.params):
            raise Unfit(
                f"[[imports]] {stub.name}, when {number}: it takes {counted(len(one.params), 'argument')}, "
                f"got {len(answer.args)}",
                "write one value in args for each parameter",
            )
        for position, (arg, type_) in enumerate(zip(answer.args, one.params), 1):
            if not has_handle(type_):
                check_type(f"[[imports]] {stub.name}, when {number}: argument {position}", arg, (type_,), key="")
    answers: list[ImportStub | StubAnswer] = [stub, *stub.when]
    for number, any_answer in enumerate(answers):
        where = f"[[imports]] {stub.name}" + (f", when {number}" if number else "")
        if any_answer.returns is not UNSET and not one.results and any_answer.returns != {}:
            raise Unfit(f"{where}: the function has no result, got {any_answer.returns!r}", "leave out returns")
        if number and one.results and any_answer.returns is UNSET and any_answer.fails is UNSET:
            raise Unfit(f"{where}: it says neither returns nor fails", "write returns with a value, or fails")
        if any_answer.returns is not UNSET and one.results:
            check_type(f"{where}: returns", any_answer.returns, one.results)


def _imports(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = similar_names(name, names)
    if near:
        return f"did you mean {' or '.join(near)}?"
    if not names:
        return "remove it: the guest imports no function"
    more = len(names) - _MOST_LISTED
    return f"name one of its imports: {', '.join(names[:_MOST_LISTED])}" + (f" and {more:,} more" if more > 0 else "")
