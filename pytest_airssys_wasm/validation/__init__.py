"""The checks of whether a component fits the platform and behaves as its manifest declares.

This package does not depend on pytest.
"""

from __future__ import annotations

ORDER = ("manifest", "loads", "imports", "limits", "instantiates", "deterministic")
"""The names of the checks, in the order in which they are reported."""
