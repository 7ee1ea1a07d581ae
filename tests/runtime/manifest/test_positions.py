"""The line of every key of a TOML document is found, however it is written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_airssys_wasm.runtime.base import toml
from pytest_airssys_wasm.runtime.manifest.positions import lines_of

TEXT = '''# [none]
[a]
x = 1 # = 2
"y z" = """
q = 1
"""
'l' = \'\'\'
[no]\'\'\'
d.e . f = [ "]", # [
  1, { k = '}' },
]
[[tests]]
steps = [
  # { call = "no" }
  { call = "a", args = [1,
     2] },
  { call = "]" },
]
[[tests]]
[[tests.steps]]
call = 1979-05-27 07:32:00
[tests.wasi]
v = inf
'''


def places(value, keys=()):
    """Every key and index of a document."""
    if keys:
        yield keys
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield from places(inner, (*keys, key))


def test_each_place_has_the_line_on_which_it_begins():
    lines = lines_of(TEXT)
    assert set(places(toml.loads(TEXT))) == set(lines)
    assert lines["a", "x"] == 3
    assert lines["a", "l"] == 7
    assert lines["a", "d", "e", "f"] == 9
    assert lines["a", "d", "e", "f", 2, "k"] == 10
    assert lines["tests", 0, "steps", 0, "args", 1] == 16
    assert lines["tests", 0, "steps", 1, "call"] == 17
    assert lines["tests", 1] == 19
    assert lines["tests", 1, "steps", 0, "call"] == 21
    assert lines["tests", 1, "wasi", "v"] == 23


@given(st.text(alphabet="ab=[]{}.,#\n\"' 1"))
def test_every_place_of_any_valid_document_is_found(text):
    try:
        document = toml.loads(text)
    except toml.TOMLDecodeError:
        lines_of(text)  # as far as it goes
        return
    assert set(places(document)) == set(lines_of(text))
