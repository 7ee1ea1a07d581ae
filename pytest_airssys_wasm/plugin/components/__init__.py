"""Components as pytest nodes: the checks of a manifest or a binary."""
