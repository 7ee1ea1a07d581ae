"""The conformance suite: cases as data, a runner, a judge. Knows no test framework."""
