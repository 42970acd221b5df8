"""Headless progress, summaries and exports."""
