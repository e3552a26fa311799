"""Configuration: YAML files and overrides merged left to right, then resolved into dataclasses by their types."""
