"""The options `--wasm-fuel-snapshot` and `--wasm-fuel-tolerance`, the marker `fuel_snapshot` and its fixture."""
