"""The C functions that are used, with prototypes in which addresses are plain integers.

`short` functions keep the GIL, because they return at once: releasing it would cost up to a switch interval (5 ms)
beside a busy Python thread. `long` functions release it, because they enter guest code or take a while.
"""

from __future__ import annotations

from ctypes import CFUNCTYPE, POINTER, PYFUNCTYPE, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_void_p, sizeof
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasmtime import _bindings, _ffi

if TYPE_CHECKING:
    from collections.abc import Callable

_SUPPORTED_MAJOR = 50
"""The supported major version of wasmtime. The bindings change with each major version; pyproject.toml has the same
range.
"""


def _installed_version() -> str:
    """Return the version of wasmtime, by the folder that its installer has put beside the package that is imported."""
    found = [path.name for path in Path(_ffi.__file__).parents[1].glob("wasmtime-*.dist-info")]
    if len(found) == 1:
        return found[0].removeprefix("wasmtime-").removesuffix(".dist-info")
    # An unusual way of installing. Not imported for the others: it takes a fifth of the time that a compiler's or
    # worker's process takes to start.
    from importlib.metadata import version

    return version("wasmtime")


WASMTIME_VERSION = _installed_version()

_EXPECTED_SIZES = {
    "wasmtime_component_val": 32,
    "wasmtime_component_func": 32,
    "wasmtime_component_instance": 16,
    "wasmtime_instance": 16,
    "wasmtime_func": 16,
    "wasmtime_val": 32,
    "wasmtime_extern": 32,
    "wasmtime_linear_memory": 32,
    "wasmtime_memory_creator": 24,
    "wasm_byte_vec_t": 16,
    "wasm_frame_vec_t": 16,
}


class UnsupportedWasmtime(ImportError):
    """The error for an installed wasmtime whose C bindings are not those with which this package was tested."""


def _check() -> None:
    problems = []
    if int(WASMTIME_VERSION.split(".")[0]) != _SUPPORTED_MAJOR:
        problems.append(f"version {WASMTIME_VERSION} is not in the tested range {_SUPPORTED_MAJOR}.*")
    for name, size in _EXPECTED_SIZES.items():
        struct = getattr(_bindings, name, None)
        if struct is None or sizeof(struct) != size:
            problems.append(f"C struct {name} is not {size} bytes")
    if problems:
        raise UnsupportedWasmtime(
            "the installed wasmtime cannot be used: "
            + "; ".join(problems)
            + f". Install wasmtime=={_SUPPORTED_MAJOR}.*"
        )


_check()


def short(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """Return a C function that returns immediately. It is called with the GIL held."""
    return PYFUNCTYPE(result, *arguments)((name, _ffi.dll))


def long(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """Return a C function that may run guest code or take long. It is called without the GIL."""
    return CFUNCTYPE(result, *arguments)((name, _ffi.dll))


VAL_BYTES = 32
"""The size of `wasmtime_val_t` and of `wasmtime_component_val_t`."""

P = c_void_p

# errors and traps
error_new = short("wasmtime_error_new", P, c_char_p)
error_delete = short("wasmtime_error_delete", None, P)
error_message = short("wasmtime_error_message", None, P, P)
error_exit_status = short("wasmtime_error_exit_status", c_bool, P, P)
error_wasm_trace = short("wasmtime_error_wasm_trace", None, P, P)
trap_code = short("wasmtime_trap_code", c_bool, P, P)
trap_new = short("wasmtime_trap_new", P, c_char_p, c_size_t)
trap_new_code = short("wasmtime_trap_new_code", P, c_int)
frame_func_name = short("wasmtime_frame_func_name", P, P)
frame_func_index = short("wasm_frame_func_index", c_uint32, P)
frame_module_name = short("wasmtime_frame_module_name", P, P)
frame_module_offset = short("wasm_frame_module_offset", c_size_t, P)
frame_vec_delete = short("wasm_frame_vec_delete", None, P)
byte_vec_delete = short("wasm_byte_vec_delete", None, P)


def config_setter(name: str) -> Callable[[int, bool], None]:
    """Return the C function `(address of the configuration, value)` of a boolean setting."""
    return short(f"wasmtime_config_{name}_set", None, P, c_bool)


# stores: the rest is done by the guard
context_set_wasi = short("wasmtime_context_set_wasi", P, P, P)

# components
component_instance_get_func = short("wasmtime_component_instance_get_func", c_bool, P, P, P, P)
component_linker_add_func = short("wasmtime_component_linker_instance_add_func", P, P, c_char_p, c_size_t, P, P, P)
component_linker_add_resource = short(
    "wasmtime_component_linker_instance_add_resource", P, P, c_char_p, c_size_t, P, P, P, P
)
# Counting is quick; wasmtime looks for each name from the first one on.
component_type_import_count = short("wasmtime_component_type_import_count", c_size_t, P, P)
component_type_export_count = short("wasmtime_component_type_export_count", c_size_t, P, P)
component_instance_type_export_count = short("wasmtime_component_instance_type_export_count", c_size_t, P, P)
resource_any_delete = short("wasmtime_component_resource_any_delete", None, P)
resource_any_to_host = short("wasmtime_component_resource_any_to_host", P, P, P, P)
resource_host_new = short("wasmtime_component_resource_host_new", P, c_bool, c_uint32, c_uint32)
resource_host_delete = short("wasmtime_component_resource_host_delete", None, P)
resource_host_rep = short("wasmtime_component_resource_host_rep", c_uint32, P)
resource_host_to_any = short("wasmtime_component_resource_host_to_any", P, P, P, P)

# modules
linker_clone = short("wasmtime_linker_clone", POINTER(_bindings.wasmtime_linker_t), P)
linker_define_func = short("wasmtime_linker_define_func", P, P, c_char_p, c_size_t, c_char_p, c_size_t, P, P, P, P)
instance_export_get = short("wasmtime_instance_export_get", c_bool, P, P, c_char_p, c_size_t, P)
