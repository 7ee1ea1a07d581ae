"""Items have in records the node ids with which they were collected, although xdist appends the names of groups."""

from __future__ import annotations

import pytest

from support.passing import HEAD

TESTS = (
    HEAD
    + """
@pytest.mark.xdist_group("a-group")
def test_count(component):
    component.count(10)
"""
)


@pytest.mark.slow
def test_a_group_of_xdist_is_in_no_record(guest):
    guest.write(test_a=TESTS)
    options = ("--wasm-fuel-snapshot=update", "--wasm-suggest-limits=limits.toml", "--wasm-coverage=coverage")
    ran = guest.run(*options, "-n", "1", "--dist", "loadgroup")
    assert ran.code == 0, ran.text
    written = "".join(guest.path(name).read_text() for name in (".fuel-snapshot.json", "limits.toml"))
    assert "test_a.py::test_count" in written
    # With pytest 9, xdist does not change what `item.nodeid` returns; the session `lowest` tries older ones.
    assert "a-group" not in written + guest.path("coverage/index.html").read_text()
