"""The option `--wasm-suggest-limits`: the smallest limits for the tests of each component."""
