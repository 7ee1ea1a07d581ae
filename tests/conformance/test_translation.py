"""Guests that the driver translates, for runtimes that do not read text."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.conformance.guests import translated

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
