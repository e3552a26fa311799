"""Layers and networks shared by the model families, with the key names of the published files."""
