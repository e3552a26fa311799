"""A text encoder taught to tell what captions name, before a diffusion model is conditioned on it."""
