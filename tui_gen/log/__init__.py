"""A run's log, `events.jsonl`: writing it, following it, and reading a long one fast."""
