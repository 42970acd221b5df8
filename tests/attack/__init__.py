"""Attacks on what must hold: `make attack`, or `python -m tests.attack --only kills`. One file a kind."""
