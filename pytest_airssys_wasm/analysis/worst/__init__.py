"""The search for the dearest arguments of an export: known shapes first, then evolution."""
