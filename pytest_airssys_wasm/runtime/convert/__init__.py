"""The conversion of Python values into guests and out of them, counted and bounded."""
