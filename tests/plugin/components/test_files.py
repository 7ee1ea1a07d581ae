"""Paths in manifests, markers and on command lines: what is not a file within its bound and place is an error at once."""

from __future__ import annotations

import os

import pytest

from support.validated_guest import HEAD

PLAIN = '(module (memory 1) (func (export "f") (result i32) i32.const 42))'
SECRET = "(secret of another folder)"


def manifest(wasm):
    return HEAD.replace('"guest.wat"', f'"{wasm}"')


def validate(project, *arguments, **how):
    return project.run("--airssys-wasm", "--wasm-conformance=never", *arguments, **how)


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_manifest_of_something_that_cannot_be_read_whole_fails_and_hangs_nothing(project, tmp_path, isolation):
    elsewhere = tmp_path / "elsewhere" / "secret.wat"
    elsewhere.parent.mkdir()
    elsewhere.write_text(SECRET)
    named = {
        "device": ("/dev/zero", None),
        "linked-device": ("guest.wat", lambda path: path.symlink_to("/dev/zero")),
        "pipe": ("guest.wat", os.mkfifo),
        "sparse": ("guest.wat", lambda path: (path.touch(), os.truncate(path, 40 * 2**30))),
        "folder": ("guest.wat", lambda path: path.mkdir()),
        "elsewhere": ("../../elsewhere/secret.wat", None),
        "linked": ("guest.wat", lambda path: path.symlink_to(elsewhere)),
        "linked-folder": ("more/secret.wat", lambda path: (path.parent / "more").symlink_to(elsewhere.parent)),
        "circle": ("guest.wat", lambda path: path.symlink_to("guest.wat")),
    }
    for folder, (wasm, make) in named.items():
        project.path(f"{folder}/Component.toml").write_text(manifest(wasm))
        if make is not None:
            make(project.path(f"{folder}/guest.wat"))
    ran = validate(project, f"--wasm-isolation={isolation}")
    failed = {name.partition("/")[0]: name.rpartition("::")[2] for name, end in ran.results.items() if end == "failed"}
    within = {"device", "linked-device", "elsewhere", "linked", "linked-folder"}
    assert {name for name, check in failed.items() if check == "manifest"} - {"circle"} == within, ran.text
    assert failed.keys() == named.keys()
    assert ran.text.count("expected a file below the manifest's folder or the root directory") >= len(within)
    for reason in ("a pipe, not a regular file", "it has 42,949,672,960 bytes, and at most 268,435,456 are read"):
        assert reason in ran.text
    assert "secret of" not in ran.text


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pipe", "sparse", "dangling", "device", "folder", "elsewhere"])
def test_a_manifest_that_is_not_a_file_of_its_folder_is_never_passed_over(project, tmp_path, kind):
    """Its limits would be missing."""
    project.path("guest.wat").write_text(PLAIN)
    path = project.path("Component.toml")
    (tmp_path / "secret").write_text(SECRET)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "sparse":
            path.touch()
            os.truncate(path, 2**40)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to({"dangling": "gone", "device": "/dev/zero", "elsewhere": tmp_path / "secret"}[kind])
    project.write(
        test_it="""
        import pytest
        from pytest_airssys_wasm import InvalidConfiguration
        @pytest.mark.component("guest.wat")
        @pytest.mark.memory("1 MiB")
        def test_with_a_marker(component):
            assert component.f() == 42
        def test_by_hand(wasm_engine):
            with pytest.raises(InvalidConfiguration):
                wasm_engine.load("guest.wat")
        """
    )
    ran = project.run()
    assert ran.results == {
        "test_it.py::test_with_a_marker": "error",
        "test_it.py::test_by_hand": "passed",
    }, ran.text
    assert "Component.toml: expected" in ran.text
    assert "secret of" not in ran.text


@pytest.mark.slow
def test_a_binary_may_be_anywhere_below_the_root_directory(project):
    """Cargo workspaces build there."""
    project.path("target/guest.wat").write_text(PLAIN)
    project.path("pytest.ini").write_text("[pytest]")
    project.path("crates/guest/Component.toml").write_text(manifest("../../target/guest.wat"))
    project.path("crates/linked/Component.toml").write_text(manifest("guest.wat"))
    project.path("crates/linked/guest.wat").symlink_to("../../target/guest.wat")
    assert validate(project, "crates/guest", "crates/linked").code == 0
    assert validate(project, cwd=project.path("crates")).code == 0


@pytest.mark.slow
def test_a_path_that_the_command_line_names_may_lead_anywhere(project, tmp_path):
    (tmp_path / "built.wat").write_text(PLAIN)
    project.path("pytest.ini").write_text("[pytest]")
    project.path("guest.wat").symlink_to(tmp_path / "built.wat")
    project.path("Component.toml").write_text(manifest("guest.wat"))
    assert validate(project, "Component.toml").code == 1
    for named in ("--wasm-component=guest.wat", "--wasm-component=../built.wat"):
        assert validate(project, "Component.toml", named, "--wasm-memory=1 MiB").code == 0
    other = tmp_path / "shared"
    other.mkdir()
    (other / "Component.toml").write_text(manifest("guest.wat"))
    (other / "guest.wat").write_text(PLAIN)
    linked = project.path("linked/Component.toml")
    linked.symlink_to(other / "Component.toml")
    project.path("linked/guest.wat").write_text(PLAIN)
    assert validate(project, "linked").code == 1
    assert validate(project, "linked/Component.toml", "-n", "1").code == 0
    assert validate(project, str(other)).code == 0


@pytest.mark.slow
def test_files_that_options_and_markers_name_are_bounded_too(project):
    project.path("guest.wat").write_text(PLAIN)
    os.mkfifo(project.path("pipe.toml"))
    for name in ("huge.toml", "huge.wit", "huge.wasm"):
        project.path(name).touch()
        os.truncate(project.path(name), 40 * 2**30)
    project.write(
        test_it="""
        import pytest
        pytestmark = pytest.mark.memory("1 MiB")
        @pytest.mark.component("huge.wasm")
        def test_source(component): component.f()
        @pytest.mark.component("guest.wat", world="huge.wit")
        def test_world(component): component.f()
        @pytest.mark.component("guest.wat", world="/dev/zero")
        def test_device(component): component.f()
        @pytest.mark.component("guest.wat", manifest="huge.toml")
        def test_manifest(component): component.f()
        """
    )
    ran = project.run("--wasm-component=huge.wasm", "--wasm-memory=1 MiB")
    assert "passed" not in ran.results.values(), ran.text
    assert ran.text.count("too large: it has 42,949,672,960 bytes") >= 4
    assert "marker component: world: expected an existing file" in ran.text
    for file, reason in (("pipe.toml", "an existing file"), ("huge.toml", "too large")):
        ran = project.run("--wasm-runtime=cat", f"--wasm-expectations={file}", "conformance/fuel")
        assert ran.code == 4, ran.text
        assert reason in ran.text
