"""Write constraints.txt: one exact version per package and Python version, resolved by pip for 3.10 to 3.13.

    python3 tools/lock.py [INTERPRETER …]

Needs one interpreter of each version (python3.10 … python3.13 on the PATH, or their paths as arguments) and the
network: only pip of the same Python evaluates markers and version limits as an installation there will. Versions that
differ between Python versions get an environment marker.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
EXTRAS = ("train", "test", "gguf", "postgres", "editor")


def resolve(interpreter: str) -> dict[str, str]:
    """Package → version as pip of this interpreter would install dependencies and extras into an empty environment."""
    sys.path.insert(0, str(ROOT))
    from engine.command.environment import requirements

    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [interpreter, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        subprocess.run([*command, "--report", str(report), *requirements(ROOT, EXTRAS)], check=True)
        found = json.loads(report.read_text())["install"]
    return {item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"] for item in found}


def version_of(interpreter: str) -> str:
    """The interpreter's version as major.minor."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([interpreter, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Resolve every Python version and write the file."""
    interpreters = sys.argv[1:] or [f"python{version}" for version in VERSIONS]
    resolved = {version_of(interpreter): resolve(interpreter) for interpreter in interpreters}
    if set(resolved) != set(VERSIONS):
        raise SystemExit(f"Interpreters of {', '.join(VERSIONS)} are needed, got {', '.join(sorted(resolved))}.")
    lines = ["# Written by tools/lock.py. Exact versions for Python 3.10 to 3.13; Linux, x86-64."]
    for name in sorted({name for packages in resolved.values() for name in packages}):
        pins = {version: resolved[version].get(name) for version in VERSIONS}
        if len(set(pins.values())) == 1:
            lines.append(f"{name}=={pins[VERSIONS[0]]}")
            continue
        for pin in sorted({pin for pin in pins.values() if pin}):
            versions = [version for version in VERSIONS if pins[version] == pin]
            marker = " or ".join(f'python_version == "{version}"' for version in versions)
            lines.append(f"{name}=={pin} ; {marker}")
    (ROOT / "constraints.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
