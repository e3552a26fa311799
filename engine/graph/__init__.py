"""Layer 1: workflow and prompt files, node specs, compilation and validation. Pure Python."""
