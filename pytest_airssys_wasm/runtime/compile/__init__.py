"""From a binary to machine code: settings, compiler and cache."""
