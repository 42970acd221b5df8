"""Hand-made speed."""
