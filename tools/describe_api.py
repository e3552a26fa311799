"""Writes the OpenAPI description and a digest of it: what the editor's types are generated from.

.venv/bin/python tools/describe_api.py > api.json && npm --prefix web run types -- "$PWD/api.json"
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

__all__ = ["api_text", "main"]


def api_text() -> str:
    """The description as JSON text, the same for the same API."""
    from engine.server.routes import description

    return json.dumps(description(), sort_keys=True, separators=(",", ":"))


def main() -> int:
    """Print {"digest", "api"}."""
    text = api_text()
    sys.stdout.write(json.dumps({"digest": hashlib.sha256(text.encode()).hexdigest(), "api": json.loads(text)}))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    raise SystemExit(main())
