"""The host functions: Python callables that serve a guest's imports."""

from __future__ import annotations

import re
from inspect import Signature, signature
from operator import itemgetter
from types import CoroutineType
from types import FunctionType as PythonFunction
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pytest_airssys_wasm.runtime.base.originals import get_ident, monotonic
from pytest_airssys_wasm.runtime.base.values import attribute_name
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.execution.host_call_context import RUN
from pytest_airssys_wasm.runtime.wit.types import FunctionType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_airssys_wasm.runtime.binary.types import CoreFunction
    from pytest_airssys_wasm.runtime.execution.run import Run

F = TypeVar("F", bound="Callable[..., Any]")
C = TypeVar("C", bound=type)

V = TypeVar("V")

_SERVED_TYPE = "__airssys_wasm_type__"
_VERSIONED = r"(?P<name>[^@#]+)@(?P<major>\d{1,9})\.(?P<minor>\d{1,9})\.(?P<patch>\d{1,9})(\+[\w.-]+)?(?P<inner>(#.*)?)"
"""The name of an interface with a version that is not a pre-release, perhaps with an instance inside of it."""


class HostCallStopped(Exception):
    """The internal error for a host function during which the execution was stopped.

    The guest does not get its result.
    """


class HostFunctions:
    """The functions and resources that a guest may import, by name.

    A name is `"wait"` for a root import, `"pkg:name/iface@1.0.0#func"` for one inside an interface, and `"env#log"` for
    a core module's import `log` from `env`; the name is everything after the module and `#`, and may be empty. An
    interface that is registered under one version also serves imports of the compatible ones, as in wasmtime: those of
    the same major version, below 1.0.0 of the same minor version. The exact one comes first, then the highest.

    Arguments and results are mapped as documented for values. A function may be `async def`: the guest waits for it
    without blocking the event loop that waits for the guest. An exception in a function ends the execution with
    `HostFunctionError`, whose `__cause__` is that exception. Registering a name again replaces the function.

    With `repeatable=True` a registration promises that calls may be made again, in any number: they change nothing
    outside of the guest, and the same calls give the same results. Only such functions serve guests that
    `pytest_airssys_wasm.analysis` runs again and again.
    """

    def __init__(self) -> None:
        self._functions: dict[str, Callable[..., Any]] = {}
        self._resources: dict[str, type] = {}
        self._repeatable: dict[str, bool] = {}

    @overload
    def register(self, name: str, function: F, *, repeatable: bool = False) -> F: ...
    @overload
    def register(self, name: str, *, repeatable: bool = False) -> Callable[[F], F]: ...
    def register(self, name: str, function: Callable[..., Any] | None = None, *, repeatable: bool = False) -> Any:
        """Register `function` for the import `name`.

        Without `function`, return a decorator that registers the decorated function.
        """

        def add(function: F) -> F:
            if not callable(function):
                raise InvalidConfiguration(f"host function {name!r}", function, "a callable")
            self._functions[_known_as(name)] = function
            self._repeatable[_known_as(name)] = repeatable
            return function

        return add if function is None else add(function)

    @overload
    def register_resource(self, name: str, implementation: C, *, repeatable: bool = False) -> C: ...
    @overload
    def register_resource(self, name: str, *, repeatable: bool = False) -> Callable[[C], C]: ...
    def register_resource(self, name: str, implementation: type | None = None, *, repeatable: bool = False) -> Any:
        """Register a class for an imported resource, such as `"pkg:name/iface@1.0.0#counter"`. Without the class,
        return a decorator.

        The constructor, methods and static functions of the resource are those of the class, in snake_case. A name that
        is a Python keyword has a `_` appended, and so has a WIT method named `drop`: a method `drop` of the class, if
        there is one, is called when the guest drops its handle. Objects that the guest never drops are released with
        its store, without calling `drop`.
        """

        def add(implementation: C) -> C:
            if not isinstance(implementation, type):
                raise InvalidConfiguration(f"host resource {name!r}", implementation, "a class")
            self._resources[_known_as(name)] = implementation
            self._repeatable[_known_as(name)] = repeatable
            return implementation

        return add if implementation is None else add(implementation)

    def find(self, interface: str, name: str) -> Callable[..., Any] | None:
        """Return the function that serves `name` of `interface` (empty for the root), which may be a method of a
        resource; `None` if there is none.
        """
        return _served(self._functions, interface, name) or self._find_resource_function(interface, name)

    def misfit(self, interface: str, name: str, type_: FunctionType | CoreFunction) -> str | None:
        """Return a description of the function that is registered for this import, if it cannot serve an import of this
        type.

        Returns `None` if the function can serve the import, or if its signature is not known.
        """
        function = _served(self._functions, interface, name) or self._resource_callable(interface, name)
        served: FunctionType | None = getattr(function, _SERVED_TYPE, None)
        if served is not None and not _is_same(served, type_):
            return f"the registered function serves only {served}"
        if _surely_takes(function, len(type_.params)):
            return None
        try:
            taken = signature(function) if function is not None else None
        except (TypeError, ValueError):  # some callables in C say nothing of their parameters
            return None
        if taken is None:
            return None
        try:
            taken.bind(*[None] * len(type_.params))
        except TypeError:
            return f"the registered function takes {taken.replace(return_annotation=Signature.empty)}"
        return None

    def lack(self, interface: str, name: str) -> str | None:
        """Return the reason why the class of a resource does not serve this function; `None` if that is not the
        case.
        """
        bracket, _, rest = name.partition("]")
        served = _served(self._resources, interface, rest.partition(".")[0])
        return f"the class {served.__name__} does not have this method" if served and bracket.startswith("[") else None

    def find_resource(self, interface: str, name: str) -> type | None:
        """Return the class that serves this resource; `None` if there is none."""
        return _served(self._resources, interface, name)

    def is_repeatable(self, interface: str, name: str) -> bool:
        """Return whether this import is served, and by something that was registered with `repeatable=True`."""
        served: object = _served(self._functions, interface, name) or self.find_resource(interface, name)
        if served is not None:
            return bool(_served(self._repeatable, interface, name))
        if self._resource_callable(interface, name) is None:
            return False
        resource = name.partition("]")[2].partition(".")[0]
        return bool(_served(self._repeatable, interface, resource))

    @property
    def names(self) -> Sequence[str]:
        """The names of all registered functions and resources."""
        return sorted({**self._functions, **self._resources})

    def merged(self, other: HostFunctions) -> HostFunctions:
        """Return a new registry with the functions of both. If both have the same name, `other` wins."""
        both = HostFunctions()
        both._functions = {**self._functions, **other._functions}
        both._resources = {**self._resources, **other._resources}
        both._repeatable = {**self._repeatable, **other._repeatable}
        return both

    def __repr__(self) -> str:
        return f"HostFunctions({', '.join(self.names)})"

    def _find_resource_function(self, interface: str, name: str) -> Callable[..., Any] | None:
        served = self._resource_callable(interface, name)
        if served is None or not name.startswith("[method]"):
            return served
        attribute = _method_name(name.rpartition(".")[2])
        # By name on the object, which may have its own.
        return lambda self, *args: getattr(self, attribute)(*args)

    def _resource_callable(self, interface: str, name: str) -> Callable[..., Any] | None:
        # WIT names them `[constructor]counter`, `[method]counter.add`, `[static]counter.max`.
        role, bracket, rest = name.partition("]")
        resource, _, function = rest.partition(".")
        implementation = _served(self._resources, interface, resource) if bracket else None
        if implementation is None or role == "[constructor":
            return implementation
        attribute = _method_name(function)
        if hasattr(type, attribute) and not any(attribute in vars(one) for one in implementation.__mro__):
            return None  # what every class has, such as `mro`, is not meant
        served = getattr(implementation, attribute, None)
        return served if callable(served) else None


def serves_only(type_: FunctionType) -> Callable[[F], F]:
    """Mark a host function as usable only for imports of this type."""

    def mark(function: F) -> F:
        setattr(function, _SERVED_TYPE, type_)
        return function

    return mark


def call_host(function: Callable[..., Any], values: Sequence[Any], run: Run) -> Any:
    """Call a host function for this run on the guest's thread, and return its result, or that of its coroutine.

    Raises the error of the function, and `HostCallStopped` if the execution is stopped during the call.
    """
    run.host_entered_at = entered_at = monotonic()
    run.in_host = True
    token = RUN.set(run)
    try:
        value = function(*values)
        if isinstance(value, CoroutineType):
            from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import wait_for

            value = wait_for(value, run)
    finally:
        RUN.reset(token)
        run.host_s += monotonic() - entered_at
        run.in_host = False
    if run.is_stopped():
        raise HostCallStopped
    return value


def serve_import(
    name: str,
    function: Callable[..., Any],
    lift: Callable[[int, Run], Sequence[Any]],
    lower: Callable[[Any, int, Run], None],
    runs: Mapping[int, Run],
) -> Callable[[int, int], None]:
    """Return the function that a C callback calls for the import `name`.

    An error of the host function is stored in the run.
    """

    def serve(args: int, results: int) -> None:
        run = runs[get_ident()]
        run.host_calls += 1
        run.fuel_left = run.account.fuel_left
        try:
            lower(call_host(function, lift(args, run), run), results, run)
        except BaseException as error:
            run.host_error = error
            run.host_name = name
            raise

    return serve


def drop_object(served: object, run: Run) -> None:
    """Call the method `drop`, if there is one, of an object whose last handle the guest has dropped, and store its
    error in the run.
    """
    drop = getattr(served, "drop", None)
    if not callable(drop):
        return
    try:
        call_host(drop, (), run)
    except BaseException as error:
        run.host_error = error
        run.host_name = f"{type(served).__name__}.drop"
        raise


def _surely_takes(function: object, count: int) -> bool:
    """Return whether a plain function takes this many arguments, which its code tells sooner than its signature."""
    if not isinstance(function, PythonFunction):
        return False
    code = function.__code__
    return code.co_argcount == count and not code.co_kwonlyargcount


def _is_same(served: FunctionType, type_: FunctionType | CoreFunction) -> bool:
    """Return whether the types are the same, ignoring the names of parameters."""
    if not isinstance(type_, FunctionType):
        return False
    return served.result == type_.result and [one for _, one in served.params] == [one for _, one in type_.params]


def _known_as(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidConfiguration("host function name", name, "'name', 'pkg:name/iface@1.0.0#name' or 'module#name'")
    return name.removeprefix("#")


def _parts(name: str) -> tuple[str, str]:
    interface, _, function = name.rpartition("#")
    return interface, function


def _full(interface: str, name: str) -> str:
    # The root of a component and a module without a name are the same here.
    return f"{interface}#{name}".removeprefix("#")


def _served(registered: Mapping[str, V], interface: str, name: str) -> V | None:
    """Return what is registered for an import: under this version of its interface, else under a compatible one."""
    found = registered.get(_full(interface, name))
    wanted = None if found is not None else _version(interface)
    if wanted is None:
        return found
    compatible = []
    for full, served in registered.items():
        other, other_name = _parts(full)
        version = _version(other) if other_name == name else None
        if version is not None and version[0] == wanted[0]:
            compatible.append((version[1], served))
    return max(compatible, key=itemgetter(0))[1] if compatible else None


def _version(interface: str) -> tuple[str, tuple[int, int, int]] | None:
    """Return the name that compatible versions of an interface share, and the version; `None` without any."""
    match = re.fullmatch(_VERSIONED, interface)
    if match is None:
        return None
    major, minor, patch = (int(match[part]) for part in ("major", "minor", "patch"))
    if major == minor == 0:
        return None
    shared = f"{major}" if major else f"0.{minor}"
    return f"{match['name']}@{shared}{match['inner']}", (major, minor, patch)


def _method_name(function: str) -> str:
    """Return the attribute for a method or static function of a resource. `drop` is that for dropped handles."""
    attribute = attribute_name(function)
    return attribute + "_" if attribute == "drop" else attribute
