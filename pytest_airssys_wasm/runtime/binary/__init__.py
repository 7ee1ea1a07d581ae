"""Reading WebAssembly binaries."""
