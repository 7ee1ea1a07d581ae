"""The operations that a store can run, as plain data. Each backend implements them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct, field

from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions


class InstanceHandle(Struct, frozen=True, eq=False):
    """The handle by which a backend identifies an instance."""

    component: Component
    raw: Any
    """The C struct of the instance, which is valid only with its store; the session number for an instance in another
    process.
    """
    functions: dict[str, Any] = field(default_factory=dict)
    """The C structs of the functions that were called so far, by their full names."""
    memory: int | None = None
    """The address of the only memory of the instance in the guard; `None` if there are none, several, or unknown ones.
    """
    lifted: dict[str, Any] = field(default_factory=dict)
    """The scalar lifts of the functions that were called so far, by their full names; `None` for those without one."""


class Instantiate(Struct, frozen=True, eq=False):
    """The operation that links and instantiates a component, and calls `function`, if given, in the same execution.

    Its result is `Instantiated`.
    """

    component: Component
    function: str | None = None
    """The full name of an export."""
    args: Sequence[Any] = ()
    host: HostFunctions | None = None
    """The host functions of this instance, in addition to those of the store."""


class Instantiated(Struct, frozen=True, eq=False):
    """The result of the operation `Instantiate`."""

    handle: InstanceHandle
    value: Any = None
    """The result of the call; `None` if there was none."""


class CallExport(Struct, frozen=True, eq=False):
    """The operation that calls an export of an instance. Its result is the value that the export returned."""

    handle: InstanceHandle
    function: str
    """The full name of the export."""
    args: Sequence[Any]

    @property
    def component(self) -> Component:
        """The component of the instance."""
        return self.handle.component


class DropResource(Struct, frozen=True, eq=False):
    """The operation that drops a guest's resource and runs its destructor. Its result is `None`."""

    component: Component
    function: str
    """The name of the resource after `[drop]`, because a destructor is not an export."""
    take: Callable[[], int]
    """A function that returns the handle by which the backend identifies the resource, and gives it to the backend.

    It is called when nothing can refuse the operation any more. Raises `ValueError` if the handle was given away.
    """

    @property
    def args(self) -> Sequence[Any]:
        """The arguments of a destructor, which takes none."""
        return ()


class PreparedCall(Protocol):
    """A call whose arguments are lowered, to be made on the thread of the guest."""

    def __call__(self, handle: InstanceHandle, run: Run, linker: Any = None) -> Any:
        """Make the call and return its value; with a `linker`, instantiate the guest of `handle` in the same entry."""


Operation: TypeAlias = Instantiate | CallExport | DropResource


def name_of(operation: Operation) -> str:
    """Return what an operation runs, for messages."""
    component, function = operation.component.name, operation.function
    return printable(component if function is None else f"{function} of {component}")


class Runner(Protocol):
    """The interface of a store that instances and resources use."""

    @property
    def is_usable(self) -> bool:
        """Whether the store can be used for further executions."""

    @property
    def usage(self) -> Usage | None:
        """The usage of the last execution; `None` before the first."""

    @property
    def stdout(self) -> bytes:
        """The bytes that guests have written to stdout so far."""

    @property
    def stderr(self) -> bytes:
        """The bytes that guests have written to stderr so far."""

    def direct_call(self, handle: InstanceHandle, name: str, general: Callable[..., Any]) -> Callable[..., Any] | None:
        """Return a function that calls an export, `general` if only that can; `None` if that cannot be told now."""

    def awaited_call(
        self, handle: InstanceHandle, name: str, general: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]] | None:
        """Return a coroutine function that calls an export that was called before; `None` if only `general` can."""

    def run(self, operation: Operation) -> Any:
        """Run an operation as one execution, and return its result or raise the error with which it ended."""

    async def run_async(self, operation: Operation) -> Any:
        """Run an operation as one execution without blocking the running event loop."""

    def close(self) -> None:
        """Release the store and everything in it."""
