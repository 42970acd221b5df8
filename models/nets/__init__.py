"""Networks and layers that models are built of."""
