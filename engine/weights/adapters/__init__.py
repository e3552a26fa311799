"""Adapter files (LoRA and kin) as weight patches: one file per algorithm, and what file keys are called."""
