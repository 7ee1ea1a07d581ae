"""The limit laws, which Hypothesis tests, and the strategies that generate their inputs."""
