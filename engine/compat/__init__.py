"""Compatibility layers. Nothing else imports them; they are loaded by name at one place each."""
