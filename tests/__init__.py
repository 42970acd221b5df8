"""The test suite, and the benchmarks that `make bench` and `make quality` run."""
