"""Pixels and curves to terminal cells and bytes; knows no run and no widget."""
