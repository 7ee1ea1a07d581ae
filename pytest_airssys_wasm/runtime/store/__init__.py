"""Stores, and who may use one."""
