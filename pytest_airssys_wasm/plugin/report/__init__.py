"""What the plugin shows: sections under failures, records of executions, the summary."""
