"""The option `--wasm-coverage`: which functions and blocks of each guest the tests reach."""
