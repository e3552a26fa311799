"""Stable Diffusion 2.0 and 2.1, their inpainting model and SD-Turbo."""
