"""Training control networks for a loaded checkpoint, which stays as it is."""
