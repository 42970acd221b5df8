"""The samples: previews of a run, and those before."""
