"""The manifest `Component.toml`, and the WASI grants in it."""
