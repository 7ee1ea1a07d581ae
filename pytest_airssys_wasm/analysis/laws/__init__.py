"""The search for cost laws: formulas that say exactly what a call costs for arguments of a given size."""
