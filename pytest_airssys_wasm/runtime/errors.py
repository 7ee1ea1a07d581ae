"""The hierarchy of errors, with one class for each verdict that is not `ok`, and the conversions from and to
`Outcome`.

Every run with a guest loads this module: functions import what only few errors need.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_airssys_wasm.runtime.base.outcome import Outcome, Verdict
from pytest_airssys_wasm.runtime.base.printable import printable_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.base.outcome import Call, Frame
    from pytest_airssys_wasm.runtime.base.usage import Usage


class WasmError(Exception):
    """The base class of all errors that this package raises about a guest, its limits or its configuration.

    Errors contain only data, and can be pickled and copied. A copy keeps its `__cause__` if that is a `WasmError`.
    """

    verdict: ClassVar[Verdict]
    """The verdict that corresponds to the class."""
    usage: Usage | None = None
    """The usage of the execution; `None` if no guest code had started."""
    frames: Sequence[Frame] = ()
    """The guest's backtrace, innermost frame first; empty if there is none."""
    call: Call | None = None
    """The execution that ended with this error; `None` if no guest code had started, unless the arguments alone
    exceeded the limit `transfer`.
    """
    stdout: bytes = b""
    """The bytes that the guest wrote to stdout before the error, up to the output limit; empty unless WASI is
    granted.
    """
    stderr: bytes = b""
    """The bytes that the guest wrote to stderr before the error, up to the output limit; empty unless WASI is
    granted.
    """
    __module__ = "pytest_airssys_wasm"  # where users import it from, and what pytest shows

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("pytest_airssys_wasm."):
            cls.__module__ = "pytest_airssys_wasm"

    def __str__(self) -> str:
        # Names of imports and exports stand in it, which a guest chooses.
        return printable_lines(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # Not through `__init__`, whose parameters differ from class to class.
        cause = self.__cause__ if isinstance(self.__cause__, WasmError) else None
        fields = dict(self.__dict__)
        if self.call is not None:
            fields["call"] = copy(self.call)  # which cannot be run again
        return _restore, (type(self), self.args, fields, cause)


def _restore(
    kind: type[WasmError], args: tuple[Any, ...], fields: dict[str, Any], cause: WasmError | None
) -> WasmError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    error.__cause__ = cause
    return error


class OutOfFuel(WasmError):
    """The fuel budget was spent."""

    verdict = Verdict.OUT_OF_FUEL


class ExecutionTimeout(WasmError, TimeoutError):
    """The timeout was reached, in guest code, in a host function or in a WASI call."""

    verdict = Verdict.TIMEOUT


class OutOfMemory(WasmError):
    """The memory limit refused a growth or an initial size, and the guest failed because of this.

    `__cause__` is the trap with which the guest ended.
    """

    verdict = Verdict.OUT_OF_MEMORY


class ResourceLimitExceeded(WasmError):
    """A limit was exceeded that is not on the fuel, the time or the memory of an execution; `resource` names it."""

    verdict = Verdict.RESOURCE_LIMIT

    def __init__(self, message: str, resource: str) -> None:
        super().__init__(message)
        self.resource = resource
        """The name of the resource, such as `tables`, `table-elements`, `instances`, `memories`, `host-transfer`,
        `output`, `handles` or `open-files`; `abandoned-guests` if guests that were given up hold too much for another
        one to start.
        """


class ComponentTrapped(WasmError):
    """The guest trapped."""

    verdict = Verdict.TRAP

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind
        """The name of wasmtime's trap code in kebab case, such as `unreachable` or `stack-overflow`."""


class GuestExit(WasmError):
    """The guest exited through WASI with a status other than 0, or with status 0 instead of returning a result.

    A command (`_start`, `wasi:cli/run`) and a function without a result may exit with status 0: that is `ok`.
    """

    verdict = Verdict.EXIT

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        """The exit status. It is 0 only if a result was due; a component has no other statuses than 0 and 1."""


class HostFunctionError(WasmError):
    """A host function raised an exception, which is the `__cause__`."""

    verdict = Verdict.HOST_ERROR


class RuntimeDied(WasmError):
    """The process that ran the guest died, hung or broke the protocol."""

    verdict = Verdict.RUNTIME_DIED

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
        """The way in which the process failed: `signal`, `status`, `memory`, `silence`, `garbage` or `refusal`."""


class LinkError(WasmError):
    """Imports of the guest are not provided, or have the wrong type."""

    verdict = Verdict.LINK_ERROR

    def __init__(self, message: str, imports: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.imports = tuple(imports)
        """The full names of the imports that cannot be linked."""


class InvalidComponent(WasmError):
    """The guest is not a valid component or module, or does not have the required kind or world."""

    verdict = Verdict.INVALID_COMPONENT


class _Nothing:
    """The type of `NOTHING`."""

    def __repr__(self) -> str:
        return "nothing"

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING = _Nothing()
"""The value of `InvalidConfiguration.given` if a required value is missing."""


class Described(str):
    """A description of a wrong value, for `InvalidConfiguration.given`. Its `repr` is the text itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class InvalidConfiguration(WasmError, ValueError):
    """A manifest, limit, marker or option is wrong. The error states where, the given value, and the expected one."""

    verdict = Verdict.INVALID_CONFIG

    def __init__(self, where: str, given: object, wanted: str) -> None:
        super().__init__(where, given, wanted)
        self.where = where
        """The file, table and key, or the name of the option, ini key, marker or argument."""
        self.given = given
        """The wrong value."""
        self.wanted = wanted
        """A description of the expected value."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Anything may have been given; a copy of something that cannot be pickled shows it as text.
        import pickle

        from pytest_airssys_wasm.runtime.base.values import short_repr

        try:
            pickle.dumps(self.given)
        except Exception:  # noqa: BLE001 pickling runs the code of whatever was given
            given = Described(short_repr(self.given))
            return _restore, (type(self), (self.where, given, self.wanted), {**self.__dict__, "given": given}, None)
        return super().__reduce__()

    def __str__(self) -> str:
        try:
            given = repr(self.given)
        except Exception:  # noqa: BLE001 that of an int of thousands of digits raises
            from pytest_airssys_wasm.runtime.base.values import short_repr

            given = short_repr(self.given)
        return f"{self.where}: expected {self.wanted}, got {given if len(given) <= 200 else given[:200] + '…'}"


class UnfitHost(InvalidConfiguration):
    """The machine lacks something that guests need, such as address space, `/proc`, room in its temporary folder or the
    library of the native guard.

    The error says nothing about the guest.
    """


def outcome_of(error: BaseException | None, usage: Usage | None = None) -> Outcome:
    """Return the outcome of an error; for `None` the outcome is `ok`, with this usage.

    An error that is not a `WasmError` was raised by a host function to end the test or the process; its verdict is
    `host-error`.
    """
    if error is None:
        return Outcome(verdict=Verdict.OK, usage=usage)
    if not isinstance(error, WasmError):
        return Outcome(verdict=Verdict.HOST_ERROR, message=f"{type(error).__name__}: {error}", usage=usage)
    cause = error.__cause__ if isinstance(error, OutOfMemory) else None
    trap = error if isinstance(error, ComponentTrapped) else cause
    return Outcome(
        verdict=error.verdict,
        message=message_of(error),
        trap=trap.kind if isinstance(trap, ComponentTrapped) else None,
        resource=error.resource if isinstance(error, ResourceLimitExceeded) else None,
        exit_code=error.code if isinstance(error, GuestExit) else None,
        reason=error.reason if isinstance(error, RuntimeDied) else None,
        cause=None if cause is None else message_of(cause),
        imports=error.imports if isinstance(error, LinkError) else (),
        frames=tuple(error.frames),
        usage=error.usage or usage,
    )


def error_of(outcome: Outcome) -> WasmError | None:
    """Return the error of an outcome, with its frames and its usage; `None` for `ok`.

    Raises `ValueError` for an outcome without the data that its verdict requires.
    """
    if outcome.verdict is Verdict.OK:
        return None
    error = _error_of(outcome)
    error.frames, error.usage = outcome.frames, outcome.usage
    return error


def message_of(error: BaseException) -> str:
    """Return the original text of an error, in which names of the guest are not escaped."""
    if isinstance(error, InvalidConfiguration):
        return str(error)
    return str(error.args[0] if error.args else "")


_PLAIN: dict[Verdict, type[WasmError]] = {
    kind.verdict: kind for kind in (OutOfFuel, ExecutionTimeout, HostFunctionError, InvalidComponent)
}


def _error_of(outcome: Outcome) -> WasmError:
    message = outcome.message
    match outcome:
        case Outcome(verdict=Verdict.TRAP, trap=str(kind)):
            return ComponentTrapped(message, kind)
        case Outcome(verdict=Verdict.RESOURCE_LIMIT, resource=str(resource)):
            return ResourceLimitExceeded(message, resource)
        case Outcome(verdict=Verdict.EXIT, exit_code=int(code)):
            return GuestExit(message, code)
        case Outcome(verdict=Verdict.RUNTIME_DIED, reason=str(reason)):
            return RuntimeDied(message, reason)
        case Outcome(verdict=Verdict.LINK_ERROR, imports=imports):
            return LinkError(message, imports)
        case Outcome(verdict=Verdict.OUT_OF_MEMORY, trap=trap):
            error = OutOfMemory(message)
            if trap is not None:
                error.__cause__ = ComponentTrapped(outcome.cause or "", trap)
            return error
    plain = _PLAIN.get(outcome.verdict)
    if plain is None:
        raise ValueError(f"the outcome {outcome.verdict} lacks data that its verdict requires")
    return plain(message)
