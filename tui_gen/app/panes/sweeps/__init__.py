"""The Sweeps pane: what was searched, what came of it, and which settings matter."""
