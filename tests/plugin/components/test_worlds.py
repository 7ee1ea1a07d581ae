"""A world's exports are read from WIT by their names."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.plugin.components.worlds import read_exports
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

WIT = """
package demo:kv@1.2.3; // world commented { export no: func(); }
/* world also-commented { } */
interface store { get: func(key: string) -> option<string>; export-like: func(); }
world small { export store; export %from: func(x: u32) -> option<u32>; }
world all {
  @since(version = 1.0.0)
  export run: func();
  @unstable(feature = x) @deprecated(version = 1.1.0)
  export last: async func();
  include small;
  import log: func(text: string);
  use store.{key};
  export wasi:cli/run@0.2.0;
  export inline: interface { f: func(); }
  type t = list<u8>;
}
"""


def write(tmp_path, text):
    path = tmp_path / "world.wit"
    path.write_text(text)
    return path


def test_every_form_of_export_has_its_full_name(tmp_path):
    assert read_exports(write(tmp_path, WIT), "all") == (
        "all",
        ("run", "last", "demo:kv/store@1.2.3", "from", "wasi:cli/run@0.2.0", "inline"),
    )


def test_the_only_world_needs_no_name(tmp_path):
    path = write(tmp_path, "package a:b; world one { export i; }")
    assert read_exports(path, None) == ("one", ("a:b/i",))


@pytest.mark.parametrize(
    ("text", "world", "says"),
    [
        (WIT, None, "expected one of its worlds, as world.wit#name: small, all, got nothing"),
        (WIT, "al", "one of its worlds, as world.wit#name: small, all, got 'al'"),
        ("interface i {}", None, "expected a file with a world, got nothing"),
        ("world w { include a:b/c; }", None, "include: expected a world of the same file, got 'a:b/c'"),
    ],
    ids=["which", "unknown", "none", "include"],
)
def test_what_cannot_be_checked_is_said(tmp_path, text, world, says):
    with pytest.raises(InvalidConfiguration) as caught:
        read_exports(write(tmp_path, text), world)
    assert says in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "world.wit"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidConfiguration, match="WIT text in UTF-8"):
        read_exports(path, None)
