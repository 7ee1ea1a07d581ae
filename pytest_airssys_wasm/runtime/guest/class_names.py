"""The names of exported resources as names of Python classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.values import attribute_name
from pytest_airssys_wasm.runtime.guest.component import TAKEN, by_attribute

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROLE = re.compile(r"\[(?:constructor|method|static)\]([^.]+)")


def class_name(resource: str) -> str:
    """Return the name of a resource as the name of a Python class: `HttpFields` for `HTTP-fields`."""
    return attribute_name("".join(word[:1].upper() + word[1:].lower() for word in resource.split("-")))


def by_class_name(functions: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the names of the resources to which the functions of one interface belong, by Python attribute.

    Each resource has two attributes: the name of its class, and its name in snake_case.
    """
    resources = dict.fromkeys(found[1] for name in functions if (found := _ROLE.match(name)))
    classes: dict[str, list[str]] = {}
    for resource in resources:
        classes.setdefault(class_name(resource), []).append(resource)
    return {**by_attribute(resources, TAKEN), **{name: tuple(several) for name, several in classes.items()}}
