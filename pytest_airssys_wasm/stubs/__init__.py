"""The type stubs of guests, for editors and type checkers: `python -m pytest_airssys_wasm.stubs x.wasm`."""
