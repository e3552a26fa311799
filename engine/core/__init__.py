"""Layer 0: standard library only; imported by everything."""
