"""The reader for a profile of an earlier run, from its file for speedscope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import DecodeError, Meta, Struct, ValidationError, json

from pytest_airssys_wasm.analysis.backtraces import SourceLine
from pytest_airssys_wasm.analysis.fuel_profile import Profile
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.base.regular_files import REPORT_BYTES, read_regular

if TYPE_CHECKING:
    from pathlib import Path

_MOST_FRAMES = 100
"""The maximum depth of stacks that are read; profiles of this package have at most 21 frames."""

_Weight = Annotated[int, Meta(ge=0)]


class Unreadable(Exception):
    """The error for a file that is not a profile of this package; the message says why."""


class _Frame(Struct):
    name: str
    file: str | None = None
    line: Annotated[int, Meta(gt=0)] | None = None


class _Shared(Struct):
    frames: list[_Frame]


class _Sampled(Struct):
    name: str
    samples: list[Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1, max_length=_MOST_FRAMES)]]
    weights: list[_Weight]


class _File(Struct):
    shared: _Shared
    profiles: Annotated[list[_Sampled], Meta(min_length=1, max_length=1)]
    samples: Annotated[int, Meta(gt=0)]


def read_profile(path: Path) -> Profile:
    """Return the profile in a `.speedscope.json` file of this package.

    Raises `Unreadable` for any other content, and `OSError` if the file cannot be read.
    """
    content = read_regular(path, REPORT_BYTES)
    try:
        file = json.decode(content, type=_File)
    except (ValidationError, DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(printable(str(error))) from None
    (sampled,) = file.profiles
    names = [printable(frame.name) for frame in file.shared.frames]
    if len(sampled.samples) != len(sampled.weights):
        raise Unreadable("it has another number of samples than of weights")
    stacks: dict[tuple[str, ...], int] = {}
    for indices, weight in zip(sampled.samples, sampled.weights):
        if max(indices) >= len(names):
            raise Unreadable("a sample has a frame that does not exist")
        stack = tuple(names[index] for index in indices)
        stacks[stack] = stacks.get(stack, 0) + weight
    return Profile(
        title=printable(sampled.name),
        total=sum(sampled.weights),
        stacks=stacks,
        samples=file.samples,
        places={
            name: SourceLine(file=frame.file, line=frame.line)
            for name, frame in zip(names, file.shared.frames)
            if frame.file is not None and frame.line is not None
        },
    )
