"""Data sources: where the examples of a training run come from, and which of them make up each batch."""
