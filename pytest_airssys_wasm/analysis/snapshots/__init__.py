"""Snapshots of what tests cost in fuel and memory: the file, its comparison with a run, and its update."""
