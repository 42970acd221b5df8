"""The losses: curves as they come."""
