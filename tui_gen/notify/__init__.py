"""Telling people what became of a run: what is worth telling, and by which ways they want to hear of it."""
