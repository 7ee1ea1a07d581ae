"""`python -m pytest_airssys_wasm.stubs x.wasm`: type stubs of a guest's exports, for editors and type checkers."""
