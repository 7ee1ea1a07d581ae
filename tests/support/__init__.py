"""Helpers that the tests of several rooms share: guests, records, scripts, readers."""
