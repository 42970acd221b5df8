"""The form: a run's settings, edited."""
