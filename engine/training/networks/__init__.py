"""Recipes that build the engine's own networks for training: sizes, first weights, gradient checkpointing."""
