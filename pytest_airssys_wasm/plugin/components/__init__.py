"""Components in pytest: the checks of a manifest or a binary as items, and the worlds that components implement."""
