"""Guests that the driver translates, for runtimes that do not read text."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from pytest_airssys_wasm.conformance.guests import spells_bytes, translated
from pytest_airssys_wasm.conformance.runner import CaseRunner

MAGIC = b"\0asm\x01\0\0\0"


@pytest.fixture
def text_of(tmp_path):
    """Writes a text in a folder of its own, always under one name."""

    def write(folder, text):
        path = tmp_path / folder / "guest.wat"
        path.parent.mkdir()
        path.write_text(text)
        return path

    return write


def test_a_text_becomes_a_binary_that_is_written_once(text_of, tmp_path):
    text = text_of("a", "(module)")
    binary = translated(text, tmp_path)
    assert binary.read_bytes() == MAGIC
    binary.write_bytes(b"as it was")
    assert translated(text, tmp_path).read_bytes() == b"as it was"


def test_texts_of_one_name_are_told_apart(text_of, tmp_path):
    one, other = text_of("a", "(module)"), text_of("b", "(module (memory 1))")
    assert translated(one, tmp_path).read_bytes() == MAGIC
    assert translated(other, tmp_path).read_bytes() != MAGIC


def test_what_is_no_text_is_handed_on(text_of, tmp_path):
    text = text_of("a", "(modul")
    assert translated(text, tmp_path) == text


@pytest.mark.parametrize("text", ['(module binary "\\00asm")', '\n  (component binary "\\00asm")'])
def test_a_binary_that_is_written_as_text_is_told_from_text(text_of, text):
    assert spells_bytes(text_of("a", text))
    assert not spells_bytes(text_of("b", text.replace("binary", "$binary")))


@pytest.mark.parametrize(("text", "suffix"), [(r'(module binary "\00asm\01\00\00\00")', ".wasm"), ("(module)", ".wat")])
def test_a_runtime_that_reads_text_is_given_bytes_where_a_case_spells_them(
    make_case, scripted, answer, tmp_path, text, suffix
):
    runtime = scripted(answer())
    case = make_case("[[steps]]\nphase = 'instantiate'")
    CaseRunner(runtime, tmp_path).run(replace(case, wat=text))
    assert [Path(request.component).suffix for request in runtime.requests] == [suffix]
