"""The worker: the only rooms, with the models, that import PyTorch."""
