"""What there is to know of runs that were begun: lists and filters, facts and summaries, comparisons, provenance."""
