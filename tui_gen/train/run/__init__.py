"""A run: the process, its loop, its record, its checkpoints."""
