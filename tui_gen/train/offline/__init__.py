"""What works without a worker, from a checkpoint."""
