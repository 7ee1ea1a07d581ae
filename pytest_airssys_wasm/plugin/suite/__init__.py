"""The conformance suite as pytest nodes."""
