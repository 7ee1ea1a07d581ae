"""Helpers that the tests of several folders share: guests, records, scripts, readers."""
