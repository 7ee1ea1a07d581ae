"""The conformance suite: cases as data, their runner, and the matching of answers.

This package does not depend on a test framework.
"""
