"""The adapter protocol, at both ends: messages, values, the process that is spoken with, and serving."""
