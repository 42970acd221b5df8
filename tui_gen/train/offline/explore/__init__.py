"""The latent explorer's side that decodes: planes, walks and pictures of a checkpoint's codes."""
