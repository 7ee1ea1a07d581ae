"""The adapter protocol, for drivers and adapters: messages, values, the adapter process, and the server."""
