"""The errors of analyses that cannot be made. Errors of guests are `WasmError`s, as everywhere else."""

from __future__ import annotations


class CannotRepeat(Exception):
    """The call cannot be run again and again, because the guest could affect the host, or something is missing that a
    repetition needs. The message names the import or the grant, or says that the error is a copy.
    """

    __module__ = "pytest_airssys_wasm.analysis"  # where users import it from, and what pytest shows

    def __init__(self, message: str, imports: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.imports = imports
        """The full names of the imports for which the call cannot be repeated; empty if it has another reason."""


class NoLaw(Exception):
    """No formula was found that says exactly what an export costs. The message says why."""

    __module__ = "pytest_airssys_wasm.analysis"
