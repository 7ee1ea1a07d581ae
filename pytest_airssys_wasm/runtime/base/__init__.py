"""Printable text, values and usage: data that everything above speaks of."""
