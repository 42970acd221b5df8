"""Panes of curves: plots in a grid, with one crosshair and one window for all; what panes that have them share."""
