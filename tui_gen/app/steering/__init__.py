"""What the workbench does with runs. Knows no pane."""
