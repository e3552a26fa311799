"""Stable Diffusion 2.1 unCLIP: pictures of what a picture shows."""
