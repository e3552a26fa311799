"""The error of everything that is wrong with a training configuration."""

from __future__ import annotations

from engine.core.errors import SettingsError

__all__ = ["ConfigError"]


class ConfigError(SettingsError):
    """A configuration has an unknown key, a value of the wrong type, or asks for what cannot be built."""

    code = "bad_config"
