"""The assumptions of the package about its dependencies, one claim for each: `nox -s lowest newest` tries them.

A claim that fails says which assumption about which package no longer holds.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import msgspec
import pytest
import wasmtime
from packaging.requirements import Requirement

import pytest_airssys_wasm
from pytest_airssys_wasm.runtime.base import toml
from pytest_airssys_wasm.runtime.capi import abi
from support import debug_info

PACKAGE = Path(pytest_airssys_wasm.__file__).parent
MODULES = [path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts]
"""The package's own files: the wheel holds sources of guests too."""
PROJECT = toml.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
REQUIRED = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = {extra: [Requirement(text) for text in texts] for extra, texts in PROJECT["optional-dependencies"].items()}
COMES_WITH = {"_pytest": "pytest", "elftools": "pyelftools", "pluggy": "pytest", "markupsafe": "jinja2"}
"""The imported packages that belong to a requirement of another name."""


def test_wasmtime_has_the_c_bindings_that_the_runtime_calls():
    # As a process of its own: these modules check the structs and look up every function when they are imported.
    code = "from pytest_airssys_wasm.runtime.capi import abi, failures, vals"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_version_of_wasmtime_stands_in_the_name_of_a_folder_beside_it():
    assert metadata.version("wasmtime") == abi.WASMTIME_VERSION
    assert Path(wasmtime.__file__).parents[1].joinpath(f"wasmtime-{abi.WASMTIME_VERSION}.dist-info").is_dir()


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    names: dict[str, int] = {}


class Outer(msgspec.Struct):
    inner: list[Inner]


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ({"number": "x"}, "Expected `int`, got `str` - at `$.inner[0].number`"),
        ({"number": 1, "more": 2}, "Object contains unknown field `more` - at `$.inner[0]`"),
        ({}, "Object missing required field `number` - at `$.inner[0]`"),
        ({"number": 1, "names": {"a": "b"}}, "Expected `int`, got `str` - at `$.inner[0].names[...]`"),
    ],
)
def test_msgspec_words_its_complaints_as_the_manifest_translates_them(inner, message):
    with pytest.raises(msgspec.ValidationError) as failed:
        msgspec.convert({"inner": [inner]}, Outer)
    assert str(failed.value) == message


def test_the_toml_parser_names_the_line_in_its_message():
    with pytest.raises(toml.TOMLDecodeError, match=r"\(at line 2, column 5\)"):
        toml.loads("a = 1\nb = = 2\n")


def test_jinja2_escapes_and_is_strict_where_the_report_asks_for_it():
    from jinja2 import Environment, StrictUndefined, UndefinedError

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    assert environment.from_string("{{ text }}").render(text="<b>") == "&lt;b&gt;"
    with pytest.raises(UndefinedError):
        environment.from_string("{{ text }}").render()


@pytest.mark.parametrize("version", [4, 5])
def test_pyelftools_reads_sections_that_no_elf_file_has(version):
    from pytest_airssys_wasm.isolation.source_line_worker import Dwarf

    dwarf = Dwarf(debug_info.dwarf(version=version, inlined=7), {3: 2, 7: 6})
    assert dwarf.lines() == {3: ("src/t.c", 11), 7: ("src/t.c", 21)}
    assert dwarf.inlined(10) == {7: [("src/t.c", 30), ("src/t.c", 31)]}


def test_filelock_gives_up_in_time_and_makes_a_private_file(tmp_path):
    from filelock import FileLock, Timeout

    path = tmp_path / "a.lock"
    with FileLock(path, mode=0o600):
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(Timeout), FileLock(path, mode=0o600).acquire(timeout=0.01):
            raise AssertionError


@pytest.mark.slow
def test_xdist_tells_its_workers_from_other_processes(tmp_path):
    (tmp_path / "test_a.py").write_text("def test_a(request): assert request.config.workerinput['workerid']")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-n", "1", str(tmp_path))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_pytest_takes_items_that_no_file_holds_under_node_ids_of_their_own(request):
    class Item(pytest.Item):
        def runtest(self):
            raise AssertionError

    item = Item.from_parent(request.session, name="b", nodeid="a/b")
    assert (item.nodeid, item.parent) == ("a/b", request.session)


def test_httpx_takes_settings_from_nobody_else():
    import httpx

    assert httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None, verify=False).trust_env is False
    assert httpx.URL("any://[::1]:80").host == "::1"
    with pytest.raises(httpx.InvalidURL):
        httpx.URL("http://a:b")


def test_hypothesis_shrinks_to_the_smallest_example():
    from hypothesis import HealthCheck, find
    from hypothesis import strategies as st

    assert find(st.integers(0, 100), lambda number: number > 9) == 10
    assert HealthCheck.too_slow in HealthCheck


@pytest.fixture(scope="module")
def imported():
    """The outermost packages that each module imports."""
    return {path: imported_by(path) for path in MODULES}


@pytest.mark.slow
def test_every_package_that_is_imported_is_required(imported):
    foreign = set().union(*imported.values()) - set(sys.stdlib_module_names) - {"pytest_airssys_wasm", "tomllib"}
    declared = {one.name.replace("pytest-xdist", "xdist") for one in [*REQUIRED, *EXTRAS["fuzz"], *EXTRAS["http"]]}
    assert {COMES_WITH.get(root, root) for root in foreign} - declared == set()


@pytest.mark.slow
def test_one_module_alone_imports_a_toml_parser(imported):
    importers = {path for path, roots in imported.items() if {"tomli", "tomllib"} & roots}
    assert importers == {PACKAGE / "runtime" / "base" / "toml.py"}


@pytest.mark.slow
def test_only_the_room_fuzzing_imports_hypothesis(imported):
    importers = {path.parent for path, roots in imported.items() if "hypothesis" in roots}
    assert importers == {PACKAGE / "fuzzing"}


def imported_by(path: Path) -> set[str]:
    """The outermost packages that a file imports when it is run, and not only for the type checker."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
            continue
        todo += (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_every_requirement_has_a_lower_bound_and_only_wasmtime_an_upper_one():
    listed = [*REQUIRED, *(one for extra in EXTRAS.values() for one in extra)]
    bounded = [one for one in listed if one.name != PROJECT["name"]]
    assert [str(one) for one in bounded if not re.search("[>=]=", str(one.specifier))] == []
    assert {one.name for one in bounded if "<" in str(one.specifier)} == {"wasmtime"}
