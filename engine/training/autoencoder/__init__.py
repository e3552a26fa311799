"""Training of autoencoders: posteriors, discriminator, perceptual distance, losses."""
