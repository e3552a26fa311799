"""Adapter files (LoRA and kin) on models and text encoders: what files call their modules, and fitting them."""
