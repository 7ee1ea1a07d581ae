"""What a store is asked to run, as requests of a session. Everything that can be refused before it runs is, here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.codec import leave_core
from pytest_airssys_wasm.isolation.host_side import served_imports
from pytest_airssys_wasm.isolation.wasi_codec import wasi_to_wire
from pytest_airssys_wasm.protocol.limits import plain_limits
from pytest_airssys_wasm.protocol.session_messages import CallRequest, DropRequest, OpenRequest
from pytest_airssys_wasm.runtime.base.values import Mismatch
from pytest_airssys_wasm.runtime.guest.linking import check_imports
from pytest_airssys_wasm.runtime.guest.operations import CallExport, DropResource
from pytest_airssys_wasm.runtime.wit.types import ResourceType
from pytest_airssys_wasm.runtime.wit.world import flatten, full_name

if TYPE_CHECKING:
    from pytest_airssys_wasm.isolation.artefacts import Guests
    from pytest_airssys_wasm.isolation.codec import ValueCodec
    from pytest_airssys_wasm.isolation.host_side import Signature
    from pytest_airssys_wasm.isolation.objects import HostObjects
    from pytest_airssys_wasm.protocol.session_messages import SessionRequest
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.backend import StoreSettings
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.operations import Operation


class Requests:
    """Makes the requests of one store.

    Raises `InvalidConfiguration` where another process cannot have what it grants.
    """

    def __init__(self, store: StoreSettings, guests: Guests, crossing: ValueCodec, objects: HostObjects) -> None:
        self._store = store
        self._guests = guests
        self._crossing = crossing
        self._objects = objects
        self._wasi = None if store.wasi is None else wasi_to_wire(store.wasi)
        self._imports: dict[Component, dict[str, Signature]] = {}

    def imports_of(self, component: Component) -> dict[str, Signature]:
        """What the store's host functions serve of its imports."""
        found = self._imports.get(component)
        if found is None:
            found = self._imports[component] = served_imports(component, self._store.host)
        return found

    def request(self, operation: Operation, run: Run, session: int | None) -> SessionRequest:
        """The request for an operation. `session` is one of the store, where there is one already.

        Raises what the operation would on a thread: `LinkError`, `UnknownExport`, `TypeError`, `ValueError` …
        """
        forget = self._objects.take_forgotten()
        if isinstance(operation, DropResource):
            assert session is not None  # a resource came out of one
            return DropRequest(id=0, session=session, resource=operation.pointer)
        if isinstance(operation, CallExport):
            args = self._args(operation, run)
            return CallRequest(id=0, session=operation.handle.raw, call=operation.function, args=args, forget=forget)
        component, store = operation.component, self._store
        check_imports(component, store.host, store.wasi)
        files = self._guests.files_of(component)
        return OpenRequest(
            id=0,
            component=files.binary,
            artefact=files.artefact,
            limits=plain_limits(store.limits) if session is None else {},
            wasi=self._wasi if session is None else None,
            imports=[*self.imports_of(component)],
            resources=self._resources(component),
            fuel_per="run" if store.fuel_per == "store" else "step",
            beside=session,
            forget=forget,
            call=operation.function,
            args=[] if operation.function is None else self._args(operation, run),
        )

    def _args(self, operation: Operation, run: Run) -> list[Any]:
        component, args = operation.component, operation.args
        assert operation.function is not None
        component.check_call(operation.function, len(args))
        types = component.parameter_types(operation.function)
        if component.kind == "module":
            return leave_core(args, types, "args")
        return [self._arg(index, value, type_, run) for index, (value, type_) in enumerate(zip(args, types))]

    def _arg(self, index: int, value: Any, type_: Any, run: Run) -> Any:
        try:
            return self._crossing.leave(value, type_, run.transfer)
        except Mismatch as error:
            raise error.at(f"args[{index}]")

    def _resources(self, component: Component) -> list[str]:
        host = self._store.host
        if host is None or component.kind == "module":
            return []
        return [
            full_name(interface, name)
            for interface, name, item in flatten(component.imports)
            if isinstance(item, ResourceType) and host.find_resource(interface, name) is not None
        ]
