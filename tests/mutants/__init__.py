"""Mutants of the bundled runtime, each wrong in one way, and a record of the cases of the suite that kill each of them."""
