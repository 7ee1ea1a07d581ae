"""Hypothesis strategies for limits and guests, and the laws that hold for any of them."""
