"""The limit laws, which Hypothesis tries, and the strategies that they draw from."""
