"""HTML pages without other files, and without access to the network."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from pytest_airssys_wasm.reporting.formatting import cut
from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Template


class PageTemplate:
    """The template `name`.html with the common head and style, its own style, and its script if there is one.

    The first page compiles it, which takes most of the time of a small one.
    """

    def __init__(self, name: str, *, most_text: int, filters: Mapping[str, Callable[..., Any]] | None = None) -> None:
        """Texts are cut to `most_text` columns."""
        self._name = name
        self._most_text = most_text
        self._filters = filters or {}

    def render(self, content: Mapping[str, Any]) -> str:
        """Make a page. Texts are escaped, made printable, and cut."""
        return self._template.render(content)

    @cached_property
    def _template(self) -> Template:
        environment = Environment(
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=self._finalize,
            loader=FunctionLoader(_text),
        )
        environment.filters |= self._filters
        style, script = _text("page.css") + _text(f"{self._name}.css"), _text(f"{self._name}.js")
        # Trusted text of this package: the browser runs these two and nothing else.
        environment.globals |= {
            "style": Markup(style),
            "script": Markup(script),
            "style_source": _source_of(style),
            "script_source": _source_of(script),
        }
        return environment.get_template(f"{self._name}.html")

    def _finalize(self, value: Any) -> Any:
        return cut(printable(value), self._most_text) if type(value) is str else value


def _text(name: str) -> str:
    """Return the text of a file of this folder; nothing if there is no such file."""
    file = files(__package__).joinpath(name)
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _source_of(text: str) -> Markup:
    """Return the source expression that allows an inline script or style in a content security policy."""
    return Markup(f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
