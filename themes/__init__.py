"""Colour themes as TOML."""
