"""Is a component fit for the platform, and does it do what its manifest says? Knows no pytest."""
