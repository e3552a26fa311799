"""Stable Diffusion x4 upscaler: a picture four times as large, told by a small one and a text."""
