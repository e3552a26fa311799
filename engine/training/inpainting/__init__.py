"""Training networks that fill holes in pictures."""
