"""Is it going well? Figures to reach, health, trends, where the time goes, and the words for it."""
