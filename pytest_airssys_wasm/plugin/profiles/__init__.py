"""The options `--wasm-profile` and `--wasm-profile-against`: profiles of the calls that tests make."""
