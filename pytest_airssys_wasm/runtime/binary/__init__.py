"""The readers of WebAssembly binaries."""
