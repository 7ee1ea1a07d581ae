"""Printable text, values, usage and outcomes: the data that all other packages use."""
