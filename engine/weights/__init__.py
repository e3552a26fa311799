"""Weight files: opened lazily and safely, renamed strictly, patched without copying the base weights."""
