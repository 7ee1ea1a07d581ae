"""Processes of our own in which guests are compiled: bounded, with nothing inherited, ended whatever they do."""
