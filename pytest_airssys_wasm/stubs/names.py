"""The names in a stub, which are chosen so that none hides another."""

from __future__ import annotations

import builtins
import keyword
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PRELUDE = ("_t", "_abc", "_wasm", "_builtins", "_function", "_Function", "_Ok", "_Err", "_Some", "_T", "_P")
"""The names that each stub defines. No name of the Component Model begins with an underscore."""


class Names:
    """The names of a stub. The names of attributes are given; those of classes are chosen so that no attribute hides
    them in the body of a class.
    """

    def __init__(self, attributes: Iterable[str]) -> None:
        self._attributes = frozenset(attributes)
        self._taken = {*self._attributes, *dir(builtins), *keyword.kwlist, *_PRELUDE}

    def new_class(self, *candidates: str) -> str:
        """Return the first name that is free, or else the last one with a number, and reserve it."""
        usable = [one for one in candidates if one.isidentifier()] or ["Type"]
        free = (one for one in usable if one not in self._taken)
        name = next(free, None) or self._numbered(usable[-1])
        self._taken.add(name)
        return name

    def builtin(self, name: str) -> str:
        """Return a type of `builtins` as it is written in a stub, in which an attribute may hide its name."""
        return f"_builtins.{name}" if name in self._attributes else name

    def _numbered(self, name: str) -> str:
        number = 2
        while f"{name}{number}" in self._taken:
            number += 1
        return f"{name}{number}"


def is_writable(attribute: str) -> bool:
    """Return whether an attribute can be declared in a stub."""
    return attribute.isidentifier() and not keyword.iskeyword(attribute) and attribute not in _PRELUDE


def camel(name: str) -> str:
    """Return a WIT name as the name of a class: `TooFew` for `too-few`."""
    return "".join(word[:1].upper() + word[1:] for word in name.replace("_", "-").split("-"))


def last_part(interface: str) -> str:
    """Return the name of an interface without package and version: `store` for `demo:kv/store@1.0.0`."""
    return interface.rpartition("#")[2].partition("@")[0].rpartition("/")[2]
