"""Host functions, the reference host functions, and imports that cannot be linked."""
