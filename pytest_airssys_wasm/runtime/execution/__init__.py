"""The parts of one execution: its guest thread, its clock, its output and its verdict."""
