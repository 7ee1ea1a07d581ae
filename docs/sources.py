"""The reader of source files for docs/reference.py: signatures, and the texts below names."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


def is_error(node: ast.ClassDef) -> bool:
    return any("Error" in ast.unparse(base) or "Warning" in ast.unparse(base) for base in node.bases)


def dataclass_fields(node: ast.ClassDef) -> dict[str, str]:
    if not any("dataclass" in ast.unparse(one) for one in node.decorator_list):
        return {}
    return {
        ast.unparse(one.target): ast.unparse(one.annotation)
        for one in node.body
        if isinstance(one, ast.AnnAssign) and "ClassVar" not in ast.unparse(one.annotation)
    }


def attributes(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Attributes with a text below them, in the class or in its `__init__`."""
    init = function(node, "__init__")
    for body in (node.body, init.body if init else []):
        for assigned, text in pairwise(body):
            if isinstance(assigned, (ast.Assign, ast.AnnAssign)) and isinstance(text, ast.Expr):
                target = assigned.targets[0] if isinstance(assigned, ast.Assign) else assigned.target
                name = ast.unparse(target).removeprefix("self.")
                if isinstance(text.value, ast.Constant) and not name.startswith("_"):
                    yield name, " ".join(str(text.value.value).split())


def tree(module: ModuleType) -> ast.Module:
    return ast.parse(Path(str(module.__file__)).read_text("utf-8"))


def classes(module: ModuleType) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree(module).body if isinstance(node, ast.ClassDef)}


def functions(node: ast.Module | ast.ClassDef) -> Iterator[Any]:
    for one in node.body:
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and not any(
            "overload" in ast.unparse(d) for d in one.decorator_list
        ):
            yield one


def function(node: ast.ClassDef, name: str) -> Any:
    return next((one for one in functions(node) if one.name == name), None)


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.AsyncFunctionDef):
        return f"await {call(node.name, node.args)}{_result(node)}"
    return call(node.name, node.args) + _result(node)


def _result(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return "" if node.returns is None or ast.unparse(node.returns) == "None" else f" -> {ast.unparse(node.returns)}"


def call(name: str, arguments: ast.arguments) -> str:
    written = re.sub(r"^self(, /)?(, )?", "", ast.unparse(arguments)).replace("=", " = ")
    return f"{name}({written})"


def doc(node: ast.ClassDef | ast.FunctionDef) -> str:
    return first_paragraph(ast.get_docstring(node))


def first_paragraph(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n")[0].split())


def paragraphs(node: ast.ClassDef | ast.FunctionDef) -> str:
    parts = (ast.get_docstring(node) or "").split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in parts)
