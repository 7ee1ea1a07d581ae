"""Runtimes that are right except for one defect each, and which case of the suite convicts which of them."""
