"""Worker processes in which guests are compiled and run: bounded, with nothing inherited, and ended in any case."""
