"""The translation of a store's operations to requests of a session.

Operations are refused here if they can be refused before they run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.codec import encode_core_values, wasi_to_wire
from pytest_airssys_wasm.isolation.host_side import served_imports
from pytest_airssys_wasm.protocol.limits import plain_limits
from pytest_airssys_wasm.protocol.session_messages import CallRequest, DropRequest, OpenRequest
from pytest_airssys_wasm.runtime.base.values import Mismatch
from pytest_airssys_wasm.runtime.guest.linking import check_imports
from pytest_airssys_wasm.runtime.guest.operations import CallExport, DropResource, Instantiate
from pytest_airssys_wasm.runtime.wit.types import ResourceType
from pytest_airssys_wasm.runtime.wit.world import flatten, full_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.isolation.artefacts import Guests
    from pytest_airssys_wasm.isolation.codec import ValueCodec
    from pytest_airssys_wasm.isolation.host_side import HostObjects, Signature
    from pytest_airssys_wasm.protocol.session_messages import SessionRequest
    from pytest_airssys_wasm.runtime.base.probes import ProbeFile
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.backend import StoreSettings
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.operations import Operation


class Requests:
    """The factory of the requests of one store.

    Raises `InvalidConfiguration` if the store has grants that another process cannot have.
    """

    def __init__(self, settings: StoreSettings, guests: Guests, codec: ValueCodec, objects: HostObjects) -> None:
        self._settings = settings
        self._guests = guests
        self._codec = codec
        self._objects = objects
        self._wasi = None if settings.wasi is None else wasi_to_wire(settings.wasi)
        self._imports: dict[Component, dict[str, Signature]] = {}

    def imports_of(self, component: Component) -> dict[str, Signature]:
        """Return the imports of a component that the store's host functions serve, by their full names."""
        found = self._imports.get(component)
        if found is None:
            found = self._imports[component] = served_imports(component, self._settings.host)
        return found

    def request(self, operation: Operation, run: Run, session: int | None) -> SessionRequest:
        """Return the request for an operation. `session` is a session of the store, or `None` for a new store.

        Raises the errors that the operation would raise in this process: `LinkError`, `UnknownExport`, `TypeError`,
        `ValueError` and others.
        """
        forget = self._objects.take_forgotten()
        match operation:
            case DropResource():
                assert session is not None  # a resource came out of one
                return DropRequest(id=0, session=session, resource=operation.take())
            case CallExport():
                args = self._args(operation.component, operation.function, operation.args, run)
                return CallRequest(
                    id=0, session=operation.handle.raw, call=operation.function, args=args, forget=forget
                )
            case Instantiate():
                return self._open(operation, run, session, forget)

    def _open(self, operation: Instantiate, run: Run, session: int | None, forget: list[int]) -> OpenRequest:
        component, function, settings = operation.component, operation.function, self._settings
        check_imports(component, settings.host, settings.wasi)
        files = self._guests.files_of(component)
        return OpenRequest(
            id=0,
            component=files.binary,
            artefact=files.artefact,
            limits=plain_limits(settings.limits) if session is None else {},
            wasi=self._wasi if session is None else None,
            imports=[*self.imports_of(component)],
            resources=self._resources(component),
            fuel_per="run" if settings.fuel_per == "store" else "step",
            beside=session,
            forget=forget,
            call=function,
            args=[] if function is None else self._args(component, function, operation.args, run),
            probes=_plain(settings.probes),
        )

    def _args(self, component: Component, function: str, args: Sequence[Any], run: Run) -> list[Any]:
        found = component.check_call(function, len(args))
        types = component.parameter_types(function)
        if component.kind == "module":
            run.transfer.charge(8 * len(args))
            return encode_core_values(args, types, "args")
        run.transfer.charge(found.fixed_bytes)
        self._objects.begin()
        try:
            return [self._arg(index, value, type_, run) for index, (value, type_) in enumerate(zip(args, types))]
        except BaseException:
            self._objects.keep()
            raise

    def _arg(self, index: int, value: Any, type_: Any, run: Run) -> Any:
        try:
            return self._codec.encode(value, type_, run.transfer)
        except Mismatch as error:
            raise error.at(f"args[{index}]")

    def _resources(self, component: Component) -> list[str]:
        host = self._settings.host
        if host is None or component.kind == "module":
            return []
        return [
            full_name(interface, name)
            for interface, name, item in flatten(component.imports)
            if isinstance(item, ResourceType) and host.find_resource(interface, name) is not None
        ]


def _plain(probes: ProbeFile | None) -> tuple[str, int, int] | None:
    return None if probes is None else (probes.path, probes.memory_bytes, probes.most_memory_bytes)
