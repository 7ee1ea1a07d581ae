"""Host functions, the host library, and imports that cannot be met."""
