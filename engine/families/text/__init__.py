"""From words to vectors for CLIP text encoders: weights in brackets, tokens, chunks, textual inversion, encoding."""
