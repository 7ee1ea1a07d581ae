"""The guard by itself, in C: it compiles without warnings, and its tests and its fuzz pass under sanitizers."""

from __future__ import annotations

import re
import subprocess

import build_guard
import pytest

from support.guard_in_c import HERE, NATIVE, SANITIZERS, WARNINGS, command_of, toolchain

COMPILERS = ["gcc", "clang", "zig"]
COMBINATIONS = [(compiler, name) for compiler in ("gcc", "clang") for name in SANITIZERS] + [("zig", "none")]
"""zig, which first compiles a C library, is for machines without the others."""
SOURCES = [*NATIVE.glob("*.c"), *HERE.glob("*.c")]


def chosen(compiler, sanitizer):
    if compiler == "zig" and (command_of("gcc") or command_of("clang")):
        pytest.skip("gcc or clang is here")
    return toolchain(compiler, sanitizer)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_compiler_has_a_warning(compiler, tmp_path):
    command = command_of(compiler)
    if command is None:
        pytest.skip(f"needs {compiler}")
    flags = [*WARNINGS, "-std=gnu11", "-O2", "-fPIC", "-c", f"-I{NATIVE}", f"-I{HERE}", '-DGUARD_SOURCES_SHA256="64"']
    for source in SOURCES:
        output = ["-o", str(tmp_path / f"{source.stem}.o")]
        done = subprocess.run([*command, *flags, str(source), *output], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("target", build_guard.TARGETS.values(), ids=build_guard.TARGETS)
def test_no_platform_has_a_warning(target, tmp_path):
    command = command_of("zig")
    if command is None:
        pytest.skip("needs zig")
    flags = [*WARNINGS, "-target", target.zig, "-std=gnu11", "-O2", "-fPIC", "-c", str(NATIVE / "guard.c")]
    done = subprocess.run([*command, *flags, "-o", str(tmp_path / "guard.o")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "sanitizer"), COMBINATIONS)
def test_its_tests_pass_under_sanitizers(compiler, sanitizer, programs):
    tools = chosen(compiler, sanitizer)
    done = tools.run(tools.program("guard_tests", programs))
    assert done.returncode == 0, done.stdout
    tests = re.findall(r"^TEST(?:_IN_A_STORE)?\((\w+)\)", (HERE / "guard_tests.c").read_text("utf-8"), re.MULTILINE)
    assert done.stdout.splitlines() == [*tests, f"{len(tests)} passed"]


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "sanitizer"), COMBINATIONS)
def test_random_sequences_of_calls_keep_its_books(compiler, sanitizer, programs):
    tools = chosen(compiler, sanitizer)
    done = tools.run(tools.program("guard_fuzz", programs), 1, 50)
    assert (done.returncode, done.stdout) == (0, "50 passed\n")
