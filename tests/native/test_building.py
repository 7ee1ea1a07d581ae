"""The library is built by the first compiler that works, and otherwise one text says why not, and what would help."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import build_guard
import pytest

from pytest_airssys_wasm import _native
from pytest_airssys_wasm.runtime.base import toml

ROOT = Path(build_guard.__file__).parents[1]
PROJECT = toml.loads((ROOT / "pyproject.toml").read_text("utf-8"))
COMPILER = shutil.which((build_guard.native_compiler() or ("none",))[0])
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("CC", "CFLAGS", "LDFLAGS", "AIRSSYS_WASM_TARGET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty folder, the only one in which programs are looked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_without_a_compiler_zig_is_needed(path):
    assert build_guard.native_compiler() is None
    assert build_guard.needs_zig()


@needs_compiler
def test_a_compiler_that_is_there_but_does_not_work_is_passed_over(path):
    program(path / "cc", "exit 1")
    assert build_guard.native_compiler() is None
    program(path / "gcc", f'PATH={os.defpath} exec {COMPILER} "$@"')
    assert build_guard.native_compiler() == ("gcc",)


@needs_compiler
def test_a_compiler_for_another_processor_is_passed_over(path):
    program(path / "cc", 'while [ "$1" != -o ]; do shift; done; printf "\\177ELF\\1\\1xxxxxxxxxxxxxx" > "$2"')
    assert build_guard.native_compiler() is None


@needs_compiler
def test_the_compiler_of_the_user_is_taken_first_with_its_options(monkeypatch):
    without = build_guard.native_compiler()
    monkeypatch.setenv("CC", f"'{COMPILER}' -DMINE")
    assert build_guard.native_compiler() == (COMPILER, "-DMINE")
    monkeypatch.setenv("CC", "there-is-no-such-compiler")
    assert build_guard.native_compiler() == without


@needs_compiler
def test_a_library_is_replaced_as_a_whole(tmp_path):
    library = tmp_path / "guard.so"
    library.write_bytes(b"loaded by another process")
    with library.open("rb") as loaded:
        assert build_guard.build(library).startswith(("linux_", "macosx_"))
        assert loaded.read() == b"loaded by another process"
    assert [*tmp_path.iterdir()] == [library]


@needs_compiler
def test_the_message_of_the_compiler_is_part_of_the_error_and_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("CFLAGS", "-include there-is-no-such-header.h")
    with pytest.raises(build_guard.CannotBuild, match=r"failed with status 1:\n(.*\n)*.*there-is-no-such-header\.h"):
        build_guard.build(tmp_path / "guard.so")
    assert [*tmp_path.iterdir()] == []


def test_without_any_compiler_the_error_names_the_remedies(path, tmp_path, monkeypatch):
    monkeypatch.setattr(build_guard.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(build_guard.CannotBuild, match="no C compiler was found") as refused:
        build_guard.build(tmp_path / "guard.so")
    for remedy in ("Install one of them", f"pip install {build_guard.ZIGLANG}", "--no-build-isolation"):
        assert remedy in str(refused.value)


def test_an_unknown_target_is_refused_with_those_that_are_known(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRSSYS_WASM_TARGET", "z80-linux-gnu")
    with pytest.raises(build_guard.CannotBuild, match=r"expected one of x86_64-linux-gnu, .*, got 'z80-linux-gnu'"):
        build_guard.build(tmp_path / "guard.so")


def test_windows_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(build_guard.CannotBuild, match=r"^pytest-airssys-wasm does not support Windows: .*Use Linux"):
        build_guard.build(tmp_path / "guard.so")


def test_each_target_is_in_its_wheel_tag():
    for name, target in build_guard.TARGETS.items():
        machine, system, *libc = name.split("-")
        kind = {"gnu": "manylinux_", "musl": "musllinux_"}[libc[0]] if libc else "macosx_"
        assert target.zig.startswith(name)
        assert target.wheel_tag.startswith(kind)
        assert target.wheel_tag.endswith({"aarch64": "arm64"}.get(machine, machine) if system == "macos" else machine)
        assert Path("guard").with_suffix(target.suffix).name in ("guard.so", "guard.dylib")


def test_the_digest_follows_names_and_contents(tmp_path):
    (tmp_path / "a.c").write_text("1")
    first = _native.digest_of(tmp_path)
    (tmp_path / "notes.txt").write_text("1")
    assert _native.digest_of(tmp_path) == first
    (tmp_path / "a.c").rename(tmp_path / "b.c")
    assert _native.digest_of(tmp_path) != first
    (tmp_path / "b.c").write_text("2")
    (tmp_path / "b.c").rename(tmp_path / "a.c")
    assert _native.digest_of(tmp_path) != first


def test_zig_has_one_version_in_the_whole_project():
    assert build_guard.ZIGLANG in PROJECT["project"]["optional-dependencies"]["guests"]
    assert f'"{build_guard.ZIGLANG.partition("==")[2]}"' in (ROOT / "fixtures/guests/toolchains.py").read_text("utf-8")
