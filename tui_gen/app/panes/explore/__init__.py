"""The latent explorer: a plane of codes to move on, and what is there, decoded at once."""
