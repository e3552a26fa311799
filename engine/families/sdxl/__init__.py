"""Stable Diffusion XL and its derivatives."""
