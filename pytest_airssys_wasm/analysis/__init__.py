"""The analysis of failures by running a guest again. This package does not depend on pytest."""
