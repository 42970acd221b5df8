"""The Compare pane: several runs beside each other."""
