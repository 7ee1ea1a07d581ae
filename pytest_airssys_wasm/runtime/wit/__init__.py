"""WIT types and worlds, with their text."""
