"""A component that only fuzzing finds to be wrong, with its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

GUEST = """(component
  (core module $m (func (export "f") (param i32) (if (i32.eq (local.get 0) (i32.const 1234567)) (then unreachable))))
  (core instance $i (instantiate $m))
  (func (export "name-of-export") (param "n" u32) (canon lift (core func $i "f"))))
"""
MANIFEST = """
[component]
name = "fuzzed"
version = "1.0.0"
wasm = "fuzzed.wat"

[resources.memory]
max_bytes = 1048576
"""


def write_fuzzed_project(folder: Path) -> None:
    """Write the component and its manifest into a new folder. The call that traps is `name-of-export(1234567)`."""
    folder.mkdir()
    (folder / "fuzzed.wat").write_text(GUEST)
    (folder / "Component.toml").write_text(MANIFEST)
