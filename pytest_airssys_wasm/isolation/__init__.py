"""Worker processes that compile and run guests. They have limits, inherit nothing, and are always ended."""
