"""The line that a TOML error is about, whichever of the two parsers is used."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.base import toml


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = = 2\nc = 3\n", 2),
        ("a = 1\n[component", 2),
        ("a =\n", 1),
        ("a = [\n", 2),
    ],
)
def test_the_line_of_an_error_is_told_once(text, line):
    with pytest.raises(toml.TOMLDecodeError) as failed:
        toml.loads(text)
    number, reason = toml.located(text, failed.value)
    assert number == line
    assert "at line" not in reason
    assert ("(column " in reason) != ("(at end of document)" in reason)


def test_a_number_that_python_refuses_has_no_line():
    with pytest.raises(ValueError, match="digits"):
        toml.loads(f"a = {'9' * 5000}")
