"""What is drawn and told of a model: codes, class scores, distances."""
