"""The C floor of calls: `floor.c`, compiled with the C compiler of the machine and given wasmtime-py's objects."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from ctypes import byref, c_double, c_size_t, c_void_p, cast, pointer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasmtime import _ffi

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).with_suffix(".c")


class Floor:
    """The functions of `floor.c`. Each method returns a function of the number of repetitions, which returns seconds."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for function in (library.component_calls, library.module_calls, library.one_shots):
            function.restype = c_double

    def component_calls(self, store: Any, func: Any, args: tuple[Any, ...]) -> Callable[[int], float]:
        """Return the repetition of a call of a component's export with one result."""
        values = self._values(store, func, args)
        context = cast(store._context(), c_void_p)
        return self._timed(self._library.component_calls, context, byref(func._func), values, c_size_t(len(args)))

    def module_calls(self, store: Any, func: Any) -> Callable[[int], float]:
        """Return the repetition of a call of a module's export with two integers and one result."""
        return self._timed(self._library.module_calls, cast(store._context(), c_void_p), byref(func._func))

    def one_shots(
        self, engine: Any, linker: Any, component: Any, store: Any, func: Any, name: str
    ) -> Callable[[int], float]:
        """Return the repetition of an instantiation in a fresh store with a call `name(1, 2)`.

        `func` is the same export of an instance in `store`.
        """
        index = component.get_export_index(name)
        owners = [cast(one.ptr(), c_void_p) for one in (engine, linker, component, index)]
        self._kept = index  # type: ignore[attr-defined]
        return self._timed(self._library.one_shots, *owners, self._values(store, func, (1, 2)), c_size_t(2))

    @staticmethod
    def _values(store: Any, func: Any, args: tuple[Any, ...]) -> Any:
        values = (_ffi.wasmtime_component_val_t * len(args))()
        for place, (_, type_), value in zip(values, func.type(store).params, args, strict=True):
            type_.convert_to_c(store, value, pointer(place))
        return values

    @staticmethod
    def _timed(function: Any, *known: Any) -> Callable[[int], float]:
        def repeat(times: int) -> float:
            took_ns = function(*known, c_size_t(times))
            if took_ns < 0:
                raise RuntimeError("a call failed in the C floor")
            return float(took_ns) / 1e9

        return repeat


def compile_floor(folder: Path) -> Floor | None:
    """Return the C floor, compiled in `folder`; `None` without a C compiler."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        return None
    wasmtime, library = Path(_ffi.dll._name), folder / "floor.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-Wall", "-o", library, SOURCE, wasmtime]
    subprocess.run([*command, f"-Wl,-rpath,{wasmtime.parent}"], check=True)
    return Floor(ctypes.CDLL(str(library)))
