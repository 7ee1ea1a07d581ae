"""All mutants, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutants import (
    allocation,
    blame,
    bounds,
    cleanup,
    configuration,
    determinism,
    figures,
    fuel,
    imports,
    instructions,
    isolation,
    loading,
    memory,
    output,
    process,
    suspension,
    timeout,
    transfer,
    traps,
    values,
    verdicts,
)

if TYPE_CHECKING:
    from mutants.mutant import Mutant

_ROOMS = (
    fuel,
    timeout,
    instructions,
    suspension,
    memory,
    transfer,
    allocation,
    output,
    verdicts,
    blame,
    traps,
    bounds,
    figures,
    values,
    determinism,
    isolation,
    cleanup,
    loading,
    imports,
    configuration,
    process,
)

MUTANTS: dict[str, Mutant] = {mutant.name: mutant for room in _ROOMS for mutant in room.FAMILY.mutants}
