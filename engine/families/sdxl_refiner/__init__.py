"""The refiner of Stable Diffusion XL."""
