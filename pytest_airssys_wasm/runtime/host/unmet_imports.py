"""Imports that cannot be linked, and the `LinkError` that says why."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WASI_NOT_GRANTED = "WASI is not granted: wasi=Wasi() in Python, [wasi] in Component.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmetImport:
    """An import that nothing provides, or that has another signature than what is registered for it."""

    name: str
    """Its full name."""
    type: str
    """As the guest declares it."""
    why: str = ""
    """Where that is not plain."""
    is_registered: bool = False
    """Whether there is a function for it, with another signature."""

    def __str__(self) -> str:
        return f"{self.name}: {self.type}{f' ({self.why})' if self.why else ''}"


def refusal(component: object, unmet: Sequence[UnmetImport]) -> LinkError:
    """The error that names them all: first those that nothing provides."""
    missing = [one for one in unmet if not one.is_registered]
    misfits = [one for one in unmet if one.is_registered]
    paragraphs = []
    if missing:
        paragraphs.append("\n  ".join([f"{component!r} needs imports that nothing provides:", *_listed(missing)]))
    if misfits:
        begins = f"{component!r} imports functions with another signature than that of the function registered:"
        paragraphs.append("\n  ".join([begins, *(printable(str(one)) for one in misfits)]))
    return LinkError("\n".join(paragraphs), [one.name for one in unmet])


def _listed(missing: Sequence[UnmetImport]) -> Iterator[str]:
    """A line each; of WASI, which comes in dozens, a line for each interface."""
    for is_ungranted, group in groupby(missing, key=lambda one: one.why == WASI_NOT_GRANTED):
        if is_ungranted:
            for interface, functions in groupby(group, key=lambda one: one.name.partition("#")[0]):
                names = ", ".join(one.name.partition("#")[2] for one in functions)
                yield printable(f"{interface}: {names} ({WASI_NOT_GRANTED})")
        else:
            yield from (printable(str(one)) for one in group)
