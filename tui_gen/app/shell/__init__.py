"""What is around the panes: menu, keys, palette, status, themes, notices, and where panes stand."""
