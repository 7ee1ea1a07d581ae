"""The compilation of binaries to machine code: settings, compiler and cache."""
