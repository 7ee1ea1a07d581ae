"""The records of a test session, turned into what people and machines read. Knows no test framework."""
