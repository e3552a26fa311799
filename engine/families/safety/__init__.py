"""The safety checker: what is in a picture that should not be shown to everybody."""
