"""The alphabet of texts."""

from __future__ import annotations

from hypothesis import strategies as st

ANY_CHARACTER = st.characters(exclude_categories=["Cs"])
"""The strategy of all characters, which are the code points without surrogates.

Those of `st.text()` are the same, but it finds them by encoding each code point, which takes two seconds wherever
Hypothesis has not kept the table.
"""
