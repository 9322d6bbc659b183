"""Training through the rollout, evaluation, and the command line."""
