"""What a run shows of its model."""
