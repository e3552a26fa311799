"""Training small changes of a loaded model: LoRA and kin, words (textual inversion), and the whole model."""
