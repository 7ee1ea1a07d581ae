"""The folders of the project that tests read, in a checkout or in a copy of it."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
ADAPTERS = ROOT / "adapters"
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
FIXTURES = ROOT / "fixtures"
GUESTS = FIXTURES / "guests"
