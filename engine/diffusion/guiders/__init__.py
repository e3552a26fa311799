"""Guidance methods, one per file: which predictions are wanted and how they become one `denoised`."""
