"""The checks of whether a component fits the platform and behaves as its manifest declares.

This package does not depend on pytest.
"""

from __future__ import annotations

ORDER = ("manifest", "loads", "imports", "limits", "instantiates", "deterministic")
"""The names of the checks, in the order in which they are reported."""
WITHOUT_LIMITS = ("manifest", "loads", "imports")
"""The names of the checks that run no guest, so that no limit has an effect on them."""
