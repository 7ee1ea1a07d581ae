"""The library of the guard is loaded when it is needed; where that fails, one error names file, cause and remedy."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import build_guard
import pytest

from pytest_airssys_wasm import UnfitHost, _native
from pytest_airssys_wasm.runtime.capi import guard_library

NATIVE = Path(build_guard.__file__).parent


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A library that is built from the present sources."""
    path = tmp_path_factory.mktemp("library") / "guard.so"
    try:
        build_guard.build(path)
    except build_guard.CannotBuild as problem:
        pytest.skip(str(problem))
    return path


@pytest.fixture
def checkout(tmp_path):
    """A copy of the checkout, as far as the loader looks at it."""
    folder = tmp_path / "checkout"
    shutil.copytree(NATIVE, folder / "native")
    return folder


def test_a_library_of_the_present_sources_is_loaded(library, checkout, tmp_path):
    assert guard_library.load(library, checkout)._name == str(library)
    assert guard_library.load(library, tmp_path)


def test_the_installed_library_is_loaded_once():
    assert guard_library.guard_library() is guard_library.guard_library()


@pytest.mark.parametrize("edit", ["identity.c", "new.h"])
def test_a_library_that_is_older_than_its_sources_is_refused(library, checkout, edit):
    with (checkout / "native" / edit).open("a") as file:
        file.write("/* edited */")
    with pytest.raises(UnfitHost) as refused:
        guard_library.load(library, checkout)
    assert str(refused.value) == (
        f"the native guard ({library}): expected a library of the present sources in {checkout / 'native'}, which "
        f"`pip install -e {checkout}` builds, got 'a library of other sources'"
    )


@pytest.mark.parametrize(
    ("is_checkout", "remedy"),
    [(True, "the library that `pip install -e {}` builds"), (False, "the library that `pip install --force-reinstall")],
)
def test_a_missing_library_is_named(tmp_path, checkout, is_checkout, remedy):
    where = tmp_path / "guard.so"
    with pytest.raises(UnfitHost) as refused:
        guard_library.load(where, checkout if is_checkout else tmp_path)
    assert str(refused.value).startswith(f"the native guard ({where}): expected {remedy.format(checkout)}")
    assert str(refused.value).endswith(", got nothing")


def test_a_library_of_another_machine_is_named_with_the_reason(tmp_path):
    where = tmp_path / "guard.so"
    where.write_bytes(b"\x7fELF" + bytes(12))
    with pytest.raises(UnfitHost, match="expected a library for this Python and this machine, as `pip ") as refused:
        guard_library.load(where, tmp_path)
    assert re.search(r"got '.*guard.so: .+'$", str(refused.value))


def test_another_library_in_its_place_is_named(library, tmp_path):
    where = tmp_path / "guard.so"
    (tmp_path / "empty.c").write_text("int something = 1;")
    compiler = build_guard.native_compiler()
    if compiler is None:
        pytest.skip("needs a C compiler")
    subprocess.run([*compiler, *build_guard.FLAGS, tmp_path / "empty.c", "-o", where], check=True)
    with pytest.raises(UnfitHost, match=r"expected a library for this .* got '.*guard_sources_sha256'$"):
        guard_library.load(where, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system")
def test_a_folder_that_code_cannot_be_mapped_from_is_named(library):
    code = f"""
import shutil
from pathlib import Path
from pytest_airssys_wasm.runtime.capi import guard_library
guard_library.load(Path(shutil.copy({str(library)!r}, "/mnt")), Path("/mnt"))
"""
    steps = 'mount -t tmpfs -o noexec,size=1m none /mnt && exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-c", steps, "sh")
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    done = subprocess.run([*prefix, sys.executable, "-c", code], capture_output=True, text=True)
    assert "UnfitHost: the native guard (/mnt/guard.so): expected a folder that is not mounted `noexec`" in done.stderr


def test_the_package_knows_where_its_library_lies():
    assert _native.LIBRARY.parent == Path(_native.__file__).parent
    assert Path(_native.__file__).parents[1] == _native.CHECKOUT / "pytest_airssys_wasm"
