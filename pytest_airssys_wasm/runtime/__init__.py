"""The execution of guests under limits. This package does not depend on pytest or Hypothesis."""
