"""The only room that touches wasmtime's C bindings.

Three things cannot be had through wasmtime-py's public API: an exact account of a store's memory, the trap code
and backtrace of a component's error, and deadlines per store. Everything here takes and returns plain integers
as addresses, so that no other room needs ctypes types, and nothing here knows about limits or verdicts.
"""
