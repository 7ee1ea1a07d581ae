"""Imports that are not what they were said to be."""

from __future__ import annotations

from msgspec import structs

from mutants.mutant import Family, around
from pytest_airssys_wasm.conformance import host_library
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime

FAMILY = Family("imports")


@FAMILY.mutant
def host_functions_do_not_sleep(patch):
    """A host function that should block returns at once."""
    patch.setitem(host_library.HOST_LIBRARY, "sleep-ms", lambda milliseconds: None)


@FAMILY.mutant
def every_import_is_granted(patch):
    """A guest may import what nobody has granted."""
    around(
        patch,
        InProcessRuntime,
        "_store",
        lambda store, self, request, limits: store(
            self, structs.replace(request, imports=[*host_library.HOST_LIBRARY]), limits
        ),
    )


@FAMILY.mutant
def host_functions_return_nothing(patch):
    """What a host function returns does not reach the guest."""
    patch.setitem(host_library.HOST_LIBRARY, "echo", lambda value: 0)


@FAMILY.mutant
def a_failing_host_function_does_not_fail(patch):
    """What it raises is swallowed."""
    patch.setitem(host_library.HOST_LIBRARY, "fail", lambda: None)
