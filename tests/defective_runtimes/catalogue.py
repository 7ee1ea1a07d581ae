"""All defects, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defective_runtimes import (
    boundary,
    configuration,
    figures,
    fuel,
    isolation,
    memory,
    process,
    timeout,
    verdicts,
)

if TYPE_CHECKING:
    from defective_runtimes.defect import Defect

_ROOMS = (fuel, timeout, memory, verdicts, figures, isolation, configuration, boundary, process)

DEFECTS: dict[str, Defect] = {defect.name: defect for room in _ROOMS for defect in room.FAMILY.defects}
