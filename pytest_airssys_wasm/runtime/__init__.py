"""Runs guests under limits. Knows nothing of pytest or Hypothesis."""
