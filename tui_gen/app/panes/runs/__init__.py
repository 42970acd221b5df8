"""The Runs pane: live and past runs of the runs folder, what they came to, and what can be done with many at once."""
