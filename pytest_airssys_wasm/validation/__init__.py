"""Is a component fit for the platform, and does it do what its manifest says? Knows no pytest."""

from __future__ import annotations

ORDER = ("manifest", "loads", "imports", "limits", "instantiates", "deterministic")
"""The checks, in the order in which a reader wants to know."""
