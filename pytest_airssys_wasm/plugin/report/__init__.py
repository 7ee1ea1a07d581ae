"""The output of the plugin: header, sections under failures, records of executions, summary."""
