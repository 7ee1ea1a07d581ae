"""The lines of a snapshot for cost laws: the formulas as exact coefficients by the text of their terms, in ASCII.

`{"1": 6, "n": 35}` stands for 6 + 35·n. Terms are written as in Python: `n^2`, `n//4`, `n%4`, `n%4>0`, `n%4==1`,
`min(n,m)`, and products of them with `*`. A coefficient that is not whole is a text such as `"25/2"`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from pytest_airssys_wasm.analysis.laws.law import Law, Piece
from pytest_airssys_wasm.analysis.laws.terms import Factor, Formula
from pytest_airssys_wasm.analysis.snapshots.model import RecordedLaw
from pytest_airssys_wasm.runtime.base.exhaustive import assert_never

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_airssys_wasm.analysis.laws.terms import Monomial

_MOST_SIZES = 2
_Size = Annotated[int, Meta(ge=0)]
_Corner = Annotated[tuple[_Size, ...], Meta(max_length=_MOST_SIZES)]
_Ratio = Annotated[str, Meta(pattern=r"\A-?[0-9]{1,40}/[1-9][0-9]{0,9}\Z")]
_Terms = Annotated[dict[str, int | _Ratio], Meta(max_length=256)]
_FACTOR = re.compile(
    r"(?:min\((?P<first>\w+),(?P<second>\w+)\)|(?P<name>[^\W\d]\w*)(?:(?P<sign>//|%)(?P<period>[1-9]\d{0,2}))?)"
    r"(?:(?P<partial>>0)|==(?P<residue>\d{1,3})|\^(?P<exponent>[23]))?",
    re.ASCII,
)


class PieceLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One piece of a law in the file."""

    low: _Corner
    high: _Corner
    fuel: _Terms
    peak_memory_bytes: _Terms | None = None


class LawLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="line", tag="law"):
    """A line of the file with the law of an export."""

    test: str
    export: str
    sizes: Annotated[dict[str, str], Meta(max_length=_MOST_SIZES)] = {}
    """The meaning of each size, by its name."""
    held: dict[str, _Size] = {}
    pieces: Annotated[tuple[PieceLine, ...], Meta(min_length=1)]
    guests: tuple[str, ...] = ()

    def recorded(self) -> RecordedLaw:
        """Return the law. Raises `ValueError` for a term that does not exist, and for ranges that are out of order."""
        names = tuple(self.sizes)
        pieces = tuple(_piece(one, names) for one in self.pieces)
        if len(names) > 1 and len(pieces) > 1:
            raise ValueError("a law of two sizes has one piece")
        for before, after in pairwise(pieces):
            if not names or after.low <= before.high:
                raise ValueError("the pieces of the law are out of order")
        law = Law(sizes=names, meanings=self.sizes, held=self.held, pieces=pieces)
        return RecordedLaw(law=law, guests=self.guests)


def record_law(law: Law, guests: tuple[str, ...] = ()) -> RecordedLaw:
    """Return the entry for a law that was found. Neighbouring pieces with the same formulas become one."""
    pieces: list[Piece] = []
    for found in law.pieces:
        one = _in_order(found, law.sizes)
        last = pieces[-1] if pieces else None
        if last is not None and (last.fuel, last.memory) == (one.fuel, one.memory):
            pieces[-1] = replace(last, high=one.high)
        else:
            pieces.append(one)
    kept = Law(sizes=law.sizes, meanings=law.meanings, held=law.held, pieces=tuple(pieces))
    return RecordedLaw(law=kept, guests=guests)


def _in_order(piece: Piece, names: Sequence[str]) -> Piece:
    """Return a piece whose terms are in the order of the file, and which has no corners if the law has no sizes."""
    return Piece(
        low=piece.low if names else (),
        high=piece.high if names else (),
        fuel=_formula(_terms(piece.fuel, names), names),
        memory=None if piece.memory is None else _formula(_terms(piece.memory, names), names),
    )


def law_line(test: str, export: str, recorded: RecordedLaw) -> dict[str, Any]:
    """Return the line of a law as plain data: the same for equal laws."""
    law = recorded.law
    return {
        "line": "law",
        "test": test,
        "export": export,
        **({"sizes": {name: law.meanings.get(name, "") for name in law.sizes}} if law.sizes else {}),
        **({"held": dict(sorted(law.held.items()))} if law.held else {}),
        "pieces": [
            {
                "low": list(piece.low),
                "high": list(piece.high),
                "fuel": _terms(piece.fuel, law.sizes),
                **({} if piece.memory is None else {"peak_memory_bytes": _terms(piece.memory, law.sizes)}),
            }
            for piece in law.pieces
        ],
        **({"guests": sorted(recorded.guests)} if recorded.guests else {}),
    }


def _piece(line: PieceLine, names: Sequence[str]) -> Piece:
    if not len(line.low) == len(line.high) == len(names) or any(a > b for a, b in zip(line.low, line.high)):
        raise ValueError("low and high of a piece do not fit the sizes of the law")
    return Piece(
        low=line.low,
        high=line.high,
        fuel=_formula(line.fuel, names),
        memory=None if line.peak_memory_bytes is None else _formula(line.peak_memory_bytes, names),
    )


def _terms(formula: Formula, names: Sequence[str]) -> dict[str, int | str]:
    """Return the coefficients by the texts of their terms; the fixed part comes first, and the others are sorted."""
    found = {
        "*".join(sorted(_text(factor, names) for factor in monomial)) or "1": figure
        for figure, monomial in formula.terms
    }
    ordered = sorted(found, key=lambda text: (text != "1", len(text), text))
    return {text: int(found[text]) if found[text].denominator == 1 else str(found[text]) for text in ordered}


def _formula(terms: Mapping[str, int | str], names: Sequence[str]) -> Formula:
    return Formula.of((Fraction(figure), _monomial(text, names)) for text, figure in terms.items())


def _monomial(text: str, names: Sequence[str]) -> Monomial:
    return () if text == "1" else tuple(_factor(one, names) for one in text.split("*"))


def _text(factor: Factor, names: Sequence[str]) -> str:
    name, period = names[factor.size], factor.period
    exponent = f"^{factor.value}" if factor.value > 1 else ""
    match factor.kind:
        case "power":
            return f"{name}{exponent}"
        case "blocks":
            return f"{name}//{period}{exponent}"
        case "rest":
            return f"{name}%{period}{exponent}"
        case "partial":
            return f"{name}%{period}>0"
        case "residue":
            return f"{name}%{period}=={factor.value}"
        case "least":
            return f"min({names[0]},{names[1]}){exponent}"
        case _:
            assert_never(factor.kind)


def _factor(text: str, names: Sequence[str]) -> Factor:
    found = _FACTOR.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a term")
    if found["first"] is not None:
        factor = Factor("least", 0, 1, int(found["exponent"] or 1))
    elif found["name"] not in names:
        raise ValueError(f"{text!r} names a size that the law does not have")
    else:
        size, period = names.index(found["name"]), int(found["period"] or 1)
        if found["residue"] is not None:
            factor = Factor("residue", size, period, int(found["residue"]))
        elif found["partial"] is not None:
            factor = Factor("partial", size, period)
        else:
            kind = {None: "power", "//": "blocks", "%": "rest"}[found["sign"]]
            factor = Factor(kind, size, period, int(found["exponent"] or 1))  # type: ignore[arg-type]
    if (factor.kind == "least" and len(names) < _MOST_SIZES) or _text(factor, names) != text:
        raise ValueError(f"{text!r} is not a term")
    return factor
