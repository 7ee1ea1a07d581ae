"""The types and worlds of WIT, with their text."""
