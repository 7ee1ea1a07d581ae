"""The limits with their units, and the memory account of a store."""
