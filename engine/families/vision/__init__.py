"""Encoders of pictures: CLIP's, and what turns their output into conditioning."""
