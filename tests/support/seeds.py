"""The seeds with which fuzzing must not accuse anything that is sound. `SEEDS=10 pytest …` tries ten of them."""

from __future__ import annotations

import os

SEEDS = range(int(os.environ.get("SEEDS", "2")))
