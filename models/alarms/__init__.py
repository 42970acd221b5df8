"""What each family of models says of its own metrics: plain data, judged by `tui_gen.verdicts.health`."""
