"""Calls of components by scalar lifts, which copy lists and text between Python and the memory of the guest.

`docs/decisions/scalar-lifts.md` tells why, and when it is the same.
"""
