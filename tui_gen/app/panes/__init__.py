"""The panes: what is seen of models, a run's settings, losses, samples, log, and of all runs."""
