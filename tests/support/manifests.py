"""The beginning of a manifest."""

from __future__ import annotations

HEAD = """
[component]
name = "guest"
version = "1"
wasm = "guest.wat"
"""
"""The first table, of the guest in `guest.wat`. The limits follow."""
