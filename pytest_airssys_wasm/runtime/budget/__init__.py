"""Limits with their units, and the account of a store's memory."""
