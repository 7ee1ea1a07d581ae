"""HTML pages without other files, and without access to the network."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from pytest_airssys_wasm.reporting.formatting import cut
from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def render_page(
    name: str, content: Mapping[str, Any], *, most_text: int, filters: Mapping[str, Callable[..., Any]] | None = None
) -> str:
    """Render the template `name`.html with the common head and style, its own style, and its script if there is one.

    Texts are escaped, made printable, and cut to `most_text` columns.
    """

    def finalize(value: Any) -> Any:
        return cut(printable(value), most_text) if type(value) is str else value

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
        loader=FunctionLoader(_text),
    )
    environment.filters |= filters or {}
    style, script = _text("page.css") + _text(f"{name}.css"), _text(f"{name}.js")
    return environment.get_template(f"{name}.html").render(
        content,
        # Trusted text of this package: the browser runs these two and nothing else.
        style=Markup(style),
        script=Markup(script),
        style_source=_source_of(style),
        script_source=_source_of(script),
    )


def _text(name: str) -> str:
    """Return the text of a file of this folder; nothing if there is no such file."""
    file = files(__package__).joinpath(name)
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _source_of(text: str) -> Markup:
    """Return the source expression that allows an inline script or style in a content security policy."""
    return Markup(f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
