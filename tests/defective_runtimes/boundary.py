"""What crosses the boundary between guest and host without being counted."""

from __future__ import annotations

from msgspec import structs

from defective_runtimes.defect import Family, around, reading
from pytest_airssys_wasm.conformance import imports
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime

FAMILY = Family("boundary")


@FAMILY.defect
def any_amount_is_transferred(patch):
    """What guests and hosts pass to each other is not limited."""
    reading(patch, lambda _: {"transfer_bytes": 2**40})


@FAMILY.defect
def any_amount_is_written(patch):
    """What a guest writes to stdout is not limited."""
    reading(patch, lambda _: {"output_bytes": 2**30})


@FAMILY.defect
def host_functions_do_not_sleep(patch):
    """A host function that should block returns at once."""
    patch.setitem(imports.REFERENCE_IMPORTS, "sleep-ms", lambda milliseconds: None)


@FAMILY.defect
def every_import_is_granted(patch):
    """A guest may import what nobody has granted."""
    around(
        patch,
        InProcessRuntime,
        "_store",
        lambda store, self, request, limits: store(
            self, structs.replace(request, imports=[*imports.REFERENCE_IMPORTS]), limits
        ),
    )
