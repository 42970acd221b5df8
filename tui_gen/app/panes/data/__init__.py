"""The Data pane: what a dataset holds."""
