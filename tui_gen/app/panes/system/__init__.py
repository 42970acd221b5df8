"""The System pane: where the time goes, and the machine."""
