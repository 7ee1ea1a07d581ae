"""The option `--wasm-suggest-limits`."""
