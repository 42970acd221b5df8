"""The Network pane: layers and memory."""
