"""Stores, and the exclusive use of a store."""
