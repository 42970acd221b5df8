"""What only a GPU can show, as one command: see `tests.gpu.__main__`."""
