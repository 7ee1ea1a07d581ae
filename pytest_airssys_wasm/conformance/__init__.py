"""The conformance suite: cases as data, their runner, and the matching of answers. Knows no test framework."""
