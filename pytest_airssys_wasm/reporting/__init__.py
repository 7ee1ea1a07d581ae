"""The reports of a test session, for people and for programs. This package does not depend on a test framework."""
