"""Hand-made speed: each has its figure in docs/tuned.md, a guard that leaves it off where it does not work or gains
nothing, a test that it computes what PyTorch does, and one switch for all, `tui_gen.tuned`."""
