"""What families around the U-Net of Stable Diffusion share: its sizes from shapes, its inputs, its forms in files."""
