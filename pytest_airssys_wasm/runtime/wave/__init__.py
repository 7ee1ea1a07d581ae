"""WAVE: the text notation of WIT values and calls."""
