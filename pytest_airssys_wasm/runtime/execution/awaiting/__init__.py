"""The executions for which an asyncio event loop waits."""
