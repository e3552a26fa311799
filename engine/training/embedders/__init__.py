"""Embedders, one a file: each turns one key of a batch into a conditioning tensor."""
