"""The pages for contributors name files and functions that exist, and leave none out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pytest_airssys_wasm"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = [CONTRIBUTING, ARCHITECTURE, *sorted((ROOT / "docs" / "decisions").glob("*.md"))]

pytestmark = pytest.mark.skipif(not CONTRIBUTING.is_file() or not PACKAGE.is_dir(), reason="needs a checkout")

FOLDERS = r"(?:pytest_airssys_wasm|conformance|fixtures|tests|adapters|examples|benchmarks|docs|native|\.ci|\.github)"
PATH = re.compile(
    rf"`((?:{FOLDERS}/[\w./-]*)|README\.md|CHANGELOG\.md|CONTRIBUTING\.md|pyproject\.toml|noxfile\.py|hatch_build\.py)(?::([\w.]+))?`"
)
RECIPE = re.compile(r"^<!-- recipe: (?P<example>.+) -->\n(?P<table>(?:\|.*\n)+)", re.MULTILINE)


def named(page):
    """The paths of a page, each with the name of a class or function in it, or an empty text."""
    return sorted(set(PATH.findall(page.read_text("utf-8"))))


def names_of(path):
    """The names that a module defines, those of methods behind that of their class."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            names.update(f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def folders():
    """The folders and files of the package that the page on architecture has to mention."""
    for folder in (PACKAGE, PACKAGE / "runtime"):
        for path in folder.iterdir():
            if path.is_dir() and any(path.glob("*.py")):
                yield f"{path.relative_to(ROOT).as_posix()}/"
            elif path.suffix == ".py" and path.name != "__init__.py":
                yield path.relative_to(ROOT).as_posix()


def recipes():
    return [(found["example"], found["table"]) for found in RECIPE.finditer(CONTRIBUTING.read_text("utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    assert [path for path, _ in named(page) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_function_that_a_page_names_exists(page):
    missing = [f"{path}:{name}" for path, name in named(page) if name and name not in names_of(ROOT / path)]
    assert missing == []


@pytest.mark.parametrize("folder", sorted(folders()) if PACKAGE.is_dir() else [])
def test_the_architecture_mentions_every_folder(folder):
    assert f"`{folder}`" in ARCHITECTURE.read_text("utf-8")


@pytest.mark.parametrize(("example", "table"), recipes() if CONTRIBUTING.is_file() else [])
def test_a_recipe_lists_every_file_of_the_package_that_its_example_is_in(example, table):
    listed = {path for path, _ in PATH.findall(table)}
    found = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.suffix in (".py", ".html", ".js") and re.search(example, path.read_text("utf-8"))
    }
    assert found, f"nothing in the package is called {example}"
    assert sorted(found - listed) == []


def test_the_index_of_decisions_is_complete():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    assert [
        page.name for page in folder.glob("*.md") if page.name != "README.md" and f"({page.name})" not in index
    ] == []
