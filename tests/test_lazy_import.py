"""A session that uses nothing of the package pays nothing: neither wasmtime nor hypothesis is loaded for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_airssys_wasm
from support.manifests import HEAD

HEAVY = ("wasmtime", "hypothesis", "msgspec", "tomli", "tomllib", "filelock", "jinja2")


def imported(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], cwd=cwd, capture_output=True, text=True, check=True
    )
    return done.stderr


def loaded(importtime: str, package: str) -> bool:
    return re.search(rf"\|\s+{package}(\.|$)", importtime, re.MULTILINE) is not None


@pytest.mark.parametrize("module", ["pytest_airssys_wasm", "pytest_airssys_wasm.plugin"])
def test_importing_loads_nothing_heavy(module):
    text = imported("-c", f"import {module}")
    assert loaded(text, module)
    assert not [package for package in HEAVY if loaded(text, package)]


@pytest.mark.slow
def test_processes_of_guests_and_compilers_do_not_load_what_only_reads_a_version():
    for module in ("compile_worker", "worker"):
        text = imported("-c", f"import pytest_airssys_wasm.isolation.{module}")
        assert loaded(text, "wasmtime")
        assert not loaded(text, "importlib.metadata")


RUNS_A_GUEST = """
import sys
from pytest_airssys_wasm.plugin import preload
from pytest_airssys_wasm import CompileCache, ResourceLimits, WasmEngine

for name in (*preload._GUESTS, *preload._FAILURES):
    __import__(f"pytest_airssys_wasm.{name}")
engine = WasmEngine(CompileCache(sys.argv[1]))
guest = engine.load('(module (func (export "one") (result i32) (i32.const 1)))')
assert engine.execute(guest, "one", limits=ResourceLimits(memory=0)).value == 1
print(guest.was_compiled, "asyncio" in sys.modules, "filelock" in sys.modules)
"""


@pytest.mark.slow
def test_only_who_compiles_loads_filelock_and_only_who_awaits_loads_asyncio(tmp_path):
    command = [sys.executable, "-c", RUNS_A_GUEST, str(tmp_path / "cache")]
    compiled, cached = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert compiled.startswith("True ")
    assert compiled.endswith(" True\n")
    assert cached == "False False False\n"


IDLE = """
import pytest

def test_that_passes(tmp_path): pass

def test_that_fails(): assert False

@pytest.mark.skip
def test_that_is_skipped(): pass

@pytest.mark.xfail
@pytest.mark.parametrize("n", [1, 2])
def test_that_is_expected_to_fail(n): pytest.fail("as expected")
"""
OF_EVERY_RUN = {
    "pytest_airssys_wasm",
    "pytest_airssys_wasm.plugin",
    "pytest_airssys_wasm.plugin.fixtures",
    "pytest_airssys_wasm.plugin.hookspecs",
    "pytest_airssys_wasm.plugin.marker_checks",
    "pytest_airssys_wasm.plugin.marker_names",
    "pytest_airssys_wasm.plugin.options",
    "pytest_airssys_wasm.plugin.settings",
}


def modules_of_a_run(folder: Path, *options: str) -> set[str]:
    """Return the modules that pytest loads with only these plugins."""
    ending = "import sys\ndef pytest_unconfigure(): print('MODULES', *sorted(sys.modules))"
    (folder / "conftest.py").write_text(ending)
    (folder / "test_idle.py").write_text(IDLE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "1 failed, 1 passed, 1 skipped, 2 xfailed" in ran.stdout, ran.stdout + ran.stderr
    return set(ran.stdout.rpartition("MODULES ")[2].split())


@pytest.mark.slow
def test_a_run_that_uses_nothing_of_the_plugin_loads_these_modules_and_no_others(tmp_path):
    """Each further module would be paid for by every run of pytest in the environment."""
    with_plugin = modules_of_a_run(tmp_path, "-p", "pytest_airssys_wasm.plugin")
    assert with_plugin - modules_of_a_run(tmp_path) == OF_EVERY_RUN


MARKED = """
import sys
import pytest
pytestmark = pytest.mark.fuel(1_000)
@pytest.mark.memory("1 MiB")
@pytest.mark.timeout_ms("50 ms")
def test_that_passes(): print("MODULES", *sorted(sys.modules))
"""


@pytest.mark.slow
def test_a_run_whose_markers_are_right_loads_neither_msgspec_nor_the_errors(tmp_path):
    (tmp_path / "test_marked.py").write_text(MARKED)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-p", "pytest_airssys_wasm.plugin"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    modules = set(ran.stdout.rpartition("MODULES ")[2].split())
    assert "pytest_airssys_wasm.plugin.markers" in modules
    assert not modules & {*HEAVY, "pytest_airssys_wasm.runtime.errors"}


@pytest.mark.slow
def test_a_run_that_uses_nothing_of_the_plugin_shows_nothing_of_it(tmp_path):
    (tmp_path / "test_plain.py").write_text("def test_a(): pass")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not [line for line in ran.stdout.splitlines() if "wasm" in line and not line.startswith("plugins: ")]


@pytest.mark.slow
def test_a_run_with_all_installed_plugins_loads_neither_wasmtime_nor_hypothesis(tmp_path):
    (tmp_path / "test_plain.py").write_text("def test_a(tmp_path): pass")
    # Some versions of hypothesis's own plugin load it when the run ends.
    text = imported("-m", "pytest", "-q", "-p", "no:hypothesispytest", cwd=tmp_path)
    assert loaded(text, "pytest_airssys_wasm.plugin")
    assert not loaded(text, "wasmtime")
    assert not loaded(text, "hypothesis")


LOADERS = """
import sys
import pytest

pytest.register_assert_rewrite("pytest_airssys_wasm")  # as pytest does where the package is installed

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.add_cleanup(tell)

def tell():
    ours = [module for name, module in sys.modules.items() if name.startswith("pytest_airssys_wasm.runtime")]
    print("LOADERS", {type(module.__loader__).__name__ for module in ours})
    print("FINDERS", [type(finder).__name__ for finder in sys.meta_path])
"""
WITH_A_GUEST = """
import pytest

@pytest.mark.component("(component)")
@pytest.mark.memory(0)
def test_it(component): pass
"""


@pytest.mark.slow
def test_pytest_does_not_rewrite_this_package_and_finds_other_modules_as_before(tmp_path):
    """It would mark all modules of the package that has the plugin, and read them in a way that takes much longer."""
    (tmp_path / "loaders.py").write_text(LOADERS)
    (tmp_path / "test_guest.py").write_text(WITH_A_GUEST)
    command = [sys.executable, "-m", "pytest", "-p", "loaders", "-p", "pytest_airssys_wasm.plugin"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "LOADERS {'SourceFileLoader'}" in ran.stdout
    assert "_PlainFinder" not in ran.stdout.partition("FINDERS ")[2]


IMPORTS = """
import sys
import pytest

BEFORE = set()

@pytest.hookimpl(trylast=True)
def pytest_collection_finish(): BEFORE.update(sys.modules)

def pytest_sessionfinish():
    late = sorted(set(sys.modules) - BEFORE)
    print("IMPORTED", [name for name in late if not name.startswith("pytest_airssys_wasm.")])
"""
ENDS = """
import pytest

pytestmark = pytest.mark.memory("1 MiB")
GUEST = '(module (func (export "good")) (func (@name "b\u200bd") (export "bad") unreachable))'

@pytest.mark.component(GUEST)
def test_good(component): component.good()

@pytest.mark.component(GUEST)
def test_bad(component): component.bad()

@pytest.mark.component("guest.wat")
def test_with_manifest(component): component.good()
"""
MANIFEST = f"""{HEAD}[resources.memory]
max_bytes = "1 MiB"
"""


@pytest.mark.slow
def test_once_tests_run_nothing_of_others_is_imported_any_more(tmp_path):
    """A test may use up the file descriptors, and Python imports codecs, too. Of this package, only the reader of source
    lines is imported late, whose process could not be started then, either.
    """
    (tmp_path / "imports.py").write_text(IMPORTS)
    (tmp_path / "test_ends.py").write_text(ENDS, "utf-8")
    (tmp_path / "guest.wat").write_text('(module (func (export "good")))')
    (tmp_path / "Component.toml").write_text(MANIFEST)
    command = [sys.executable, "-m", "pytest", "-p", "imports", "-p", "pytest_airssys_wasm.plugin"]
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "XDG_CACHE_HOME": str(tmp_path),
    }
    for _ in range(2):  # now the guests come from the cache
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "1 failed, 2 passed" in ran.stdout, ran.stdout
    assert "IMPORTED []" in ran.stdout, ran.stdout


def test_every_public_name_is_there_and_nothing_else():
    assert sorted(pytest_airssys_wasm.__all__) == pytest_airssys_wasm.__all__
    for name in pytest_airssys_wasm.__all__:
        assert getattr(pytest_airssys_wasm, name).__name__ == name
    assert set(pytest_airssys_wasm.__all__) <= set(dir(pytest_airssys_wasm))
    with pytest.raises(AttributeError, match="no attribute 'wasmtime'"):
        _ = pytest_airssys_wasm.wasmtime


def test_type_checkers_see_the_same_names():
    source = Path(pytest_airssys_wasm.__file__).read_text("utf-8")
    imports = source.partition("if TYPE_CHECKING:")[2].partition("\n_EXPORTS")[0]
    assert set(pytest_airssys_wasm.__all__) == set(re.findall(r"\b[A-Z]\w+|\bcurrent_execution", imports)) - {
        "Any",
        "TYPE_CHECKING",
    }
