"""The only package that uses wasmtime's C bindings.

wasmtime-py's public API does not give an exact account of a store's memory, the trap code and backtrace of a
component's error, or a deadline for each store. All functions take and return addresses as plain integers, so that
other packages do not need ctypes types. This package does not handle limits or verdicts.

- `abi`: the C functions in use, and the check that the bindings look as expected
- `stores`: a store, made, metered and deleted through addresses
- `failures`, `backtrace`: wasmtime's errors and traps as plain data, with the names of functions
- `vals`, `arena`: the layout of component values, and the memory in which they are lowered
- `callbacks`, `memory_creator`: what wasmtime calls back, host functions and linear memories
- `guard_library`: the library of the native guard, loaded and checked
"""
