"""The Queue pane: what is trained one after another, and what became of it."""
