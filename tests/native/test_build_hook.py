"""The build hook: what wheels, source distributions and editable installations hold, and what the hook refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import build_guard
import pytest

import pytest_airssys_wasm

pytest.importorskip("hatchling", reason="the build of the project")
ROOT = Path(build_guard.__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "hatch_build.py").exists(), reason="only in a checkout"),
]
needs_compiler = pytest.mark.skipif(build_guard.native_compiler() is None, reason="needs a C compiler")
LIBRARY = "pytest_airssys_wasm/_native/guard.so"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what the build reads."""
    folder = tmp_path_factory.mktemp("checkout")
    package = Path(pytest_airssys_wasm.__file__).parent  # in a run on a copy of the tests it lies elsewhere
    ignored = shutil.ignore_patterns("__pycache__", "_data", "*.so")
    shutil.copytree(package, folder / package.name, ignore=ignored)
    shutil.copytree(ROOT / "native", folder / "native", ignore=ignored)
    for name in ("conformance", "fixtures"):
        (folder / name).mkdir()
        (folder / name / "data.toml").touch()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    (folder / LIBRARY).write_bytes(b"left by another build")
    return folder


def run(checkout, code, **environment):
    """Run code in a process as a front end does, with the checkout as the working directory."""
    return subprocess.run(
        [sys.executable, "-c", f"import hatchling.build as backend, sys; {code}"],
        cwd=checkout,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def built(done, folder):
    assert done.returncode == 0, done.stderr
    return Path(folder, done.stdout.split()[-1])


@needs_compiler
def test_a_wheel_is_for_its_platform_and_holds_the_library_that_was_built(checkout, tmp_path):
    wheel = built(run(checkout, f"print(backend.build_wheel({str(tmp_path)!r}))"), tmp_path)
    tag = build_guard.build(tmp_path / "guard.so")
    assert wheel.name.endswith(f"-py3-none-{tag}.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.read(LIBRARY) == (tmp_path / "guard.so").read_bytes()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/WHEEL"))
    assert "Root-Is-Purelib: false" in metadata
    assert [name for name in names if name.endswith((".c", ".h")) and "_data" not in name] == []


def test_a_source_distribution_holds_the_sources_and_no_library(checkout, tmp_path):
    archive = built(run(checkout, f"print(backend.build_sdist({str(tmp_path)!r}))"), tmp_path)
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    sources = {f"native/{path.name}" for path in (ROOT / "native").iterdir() if path.suffix in (".c", ".h", ".py")}
    assert sources | {"hatch_build.py", "pytest_airssys_wasm/_native/__init__.py"} <= names
    assert LIBRARY not in names


@needs_compiler
def test_an_editable_installation_puts_the_library_into_the_checkout(checkout, tmp_path):
    wheel = built(run(checkout, f"print(backend.build_editable({str(tmp_path)!r}))"), tmp_path)
    assert (checkout / LIBRARY).read_bytes().startswith((b"\x7fELF", b"\xcf\xfa\xed\xfe"))
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if "guard" in name] == []


def test_a_compiler_is_required_only_where_there_is_none(checkout):
    asked = "print(backend.get_requires_for_build_wheel())"
    if build_guard.native_compiler():
        assert run(checkout, asked).stdout == "[]\n"
    assert run(checkout, asked, PATH="/nowhere").stdout == f"['{build_guard.ZIGLANG}']\n"
    assert run(checkout, asked, AIRSSYS_WASM_TARGET="aarch64-linux-musl").stdout == f"['{build_guard.ZIGLANG}']\n"


def test_a_build_that_cannot_be_ends_with_one_text_and_no_traceback(checkout, tmp_path):
    code = f"backend.build_wheel({str(tmp_path)!r})"
    done = run(checkout, f"sys.modules['ziglang'] = None; {code}", PATH="/nowhere")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    # Modules that are imported before still find the system that they run on.
    done = run(checkout, f"backend.get_requires_for_build_wheel(); sys.platform = 'win32'; {code}")
    assert done.returncode == 1
    assert "pytest-airssys-wasm does not support Windows" in done.stderr
    assert "Traceback" not in done.stderr
