"""Runs that wait for their turn: who waits, who starts them, and when each may be done."""
