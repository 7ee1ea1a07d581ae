"""The terms of a formula in whole sizes, and their text: powers, whole blocks, what is left of a block, residues."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Point: TypeAlias = tuple[int, ...]
    """The values of all sizes of a law, in their order."""


class Factor(Struct, frozen=True):
    """One factor of a term, which depends on one size, or for `least` on the first two."""

    kind: Literal["power", "blocks", "rest", "partial", "residue", "least"]
    """`power`: n; `blocks`: ⌊n/period⌋; `rest`: n mod period; `partial`: 1 if n mod period is not 0, else 0; `residue`:
    1 if n mod period is `value`, else 0; `least`: the smaller one of two sizes.
    """
    size: int = 0
    """The index of the size."""
    period: int = 1
    value: int = 1
    """The exponent; the residue for `residue`."""

    def at(self, point: Point) -> int:
        """Return the factor for these sizes."""
        x = point[self.size]
        match self.kind:
            case "power":
                return int(x**self.value)
            case "blocks":
                return int((x // self.period) ** self.value)
            case "rest":
                return int((x % self.period) ** self.value)
            case "partial":
                return int(x % self.period != 0)
            case "residue":
                return int(x % self.period == self.value)
            case "least":
                return int(min(point[:2]) ** self.value)
            case _:
                assert_never(self.kind)

    def text(self, names: Sequence[str]) -> str:
        """Write the factor, with these names of the sizes."""
        name = names[self.size]
        match self.kind:
            case "power":
                base = name
            case "blocks":
                base = f"⌊{name}/{self.period}⌋"
            case "rest":
                base = f"({name} mod {self.period})"
            case "partial":
                return f"[{self.period} does not divide {name}]"
            case "residue":
                return f"[{name} mod {self.period} = {self.value}]"
            case "least":
                base = f"min({names[0]}, {names[1]})"
            case _:
                assert_never(self.kind)
        return base + (_SUPERSCRIPTS[self.value] if self.value > 1 else "")


_SUPERSCRIPTS = ("", "", "²", "³")

Monomial: TypeAlias = tuple[Factor, ...]
"""A product of factors; the empty one is 1."""
Basis: TypeAlias = tuple[Monomial, ...]
"""The monomials of which a formula is a sum."""


def value(monomial: Monomial, point: Point) -> int:
    """Return a monomial for these sizes."""
    return prod(factor.at(point) for factor in monomial)


class Formula(Struct, frozen=True):
    """A sum of monomials with exact coefficients; none of them is 0."""

    terms: tuple[tuple[Fraction, Monomial], ...]

    @classmethod
    def of(cls, terms: Iterable[tuple[Fraction, Monomial]]) -> Formula:
        """Return the sum of these terms in its simplest form: a figure that all residues share stands there once."""
        total: dict[Monomial, Fraction] = {}
        for coefficient, monomial in terms:
            total[monomial] = total.get(monomial, Fraction(0)) + coefficient
        for base, period, size in dict.fromkeys(_residue_group(monomial) for monomial in total if _residue(monomial)):
            group = [(*base, Factor("residue", size, period, residue)) for residue in range(period)]
            shared = total.pop(base, Fraction(0))
            each = [total.pop(monomial, Fraction(0)) + shared for monomial in group]
            if len(set(each)) == 1:
                total[base] = each[0]
            else:
                total.update(zip(group, each))
        found = ((coefficient, monomial) for monomial, coefficient in total.items() if coefficient)
        return cls(tuple(sorted(found, key=lambda term: len(term[1]))))

    @classmethod
    def constant(cls, figure: int) -> Formula:
        """Return the formula of a figure that is always the same."""
        return cls.of([(Fraction(figure), ())])

    def at(self, point: Point) -> Fraction | int:
        """Return the sum for these sizes."""
        return sum(coefficient * value(monomial, point) for coefficient, monomial in self.terms)

    @property
    def degree(self) -> int:
        """The degree in all sizes together: 2 for n·m and for n²."""
        return max((_degree(monomial) for _, monomial in self.terms), default=0)

    def coefficients(self, names: Sequence[str]) -> dict[str, Fraction]:
        """Return the coefficients by the text of their monomials, such as `n²`; that of the fixed part is `1`."""
        return {_product(monomial, names) or "1": coefficient for coefficient, monomial in self.terms}

    def text(self, names: Sequence[str]) -> str:
        """Write the sum, with these names of the sizes: `351 + 53·n`.

        Figures that depend on the residue are a list: `(6,755, 6,778, 6,794, 6,806)[n mod 4] + 123·n`.
        """
        parts: list[str] = []
        plain = [term for term in self.terms if not _residue(term[1])]
        by_residue: dict[tuple[Monomial, int, int], dict[int, Fraction]] = {}
        for coefficient, monomial in self.terms:
            residue = _residue(monomial)
            if residue is not None:
                by_residue.setdefault(_residue_group(monomial), {})[residue.value] = coefficient
        for (base, period, size), figures in by_residue.items():
            listed = ", ".join(_figure(figures.get(residue, Fraction(0))) for residue in range(period))
            product = _product(base, names)
            parts.append(f"({listed})[{names[size]} mod {period}]" + (f"·{product}" if product else ""))
        for coefficient, monomial in plain:
            product = _product(monomial, names)
            figure = _figure(abs(coefficient))
            shown = figure if not product else product if abs(coefficient) == 1 else f"{figure}·{product}"
            if parts:
                parts.append(("- " if coefficient < 0 else "+ ") + shown)
            else:
                parts.append(("-" if coefficient < 0 else "") + shown)
        return " ".join(parts) or "0"


def _figure(number: Fraction) -> str:
    return f"{int(number):,}" if number.denominator == 1 else str(number)


def _residue(monomial: Monomial) -> Factor | None:
    return next((factor for factor in monomial if factor.kind == "residue"), None)


def _residue_group(monomial: Monomial) -> tuple[Monomial, int, int]:
    """Return what the monomials of all residues of a period share, the period, and the index of the size."""
    residue = _residue(monomial)
    assert residue is not None
    return tuple(factor for factor in monomial if factor != residue), residue.period, residue.size


def _product(monomial: Monomial, names: Sequence[str]) -> str:
    return "·".join(factor.text(names) for factor in monomial)


def _degree(monomial: Monomial) -> int:
    return sum(factor.value for factor in monomial if factor.kind in ("power", "blocks", "least"))
