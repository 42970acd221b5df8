"""The Edits pane: what was changed in a run while it trained."""
