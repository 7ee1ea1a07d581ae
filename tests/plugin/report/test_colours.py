"""The colours of the table in the terminal."""

from __future__ import annotations

import pytest

TESTS = """
import pytest
@pytest.mark.component("kernels.wat")
@pytest.mark.memory("1 MiB")
@pytest.mark.fuel(60)
def test_count(component): component.count(10)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("colour", "has_colour"), [("yes", True), ("no", False)])
def test_a_share_near_its_limit_is_yellow_unless_colours_are_off(guest, colour, has_colour):
    guest.write(test_a=TESTS)
    ran = guest.run("--wasm-summary", f"--color={colour}")
    assert ran.code == 0
    assert ("\x1b[33m       85 %" in ran.text) is has_colour
    assert ("\x1b[" in ran.text) is has_colour
    assert "85 %" in ran.text
