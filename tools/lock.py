"""Write constraints.txt: one exact version per package and Python version, resolved by pip for 3.10 to 3.13.

    python3 tools/lock.py

Needs pip >= 23 and the network. Versions that differ between Python versions get an environment marker.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
EXTRAS = ("test", "postgres")


def resolve(version: str) -> dict[str, str]:
    """Package → version for one Python version, as pip would install all extras there."""
    sys.path.insert(0, str(ROOT))
    from engine.command.environment import requirements

    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--report", str(report), "--python-version", version, "--only-binary=:all:", "--target", folder]
        subprocess.run([*command, *requirements(ROOT, EXTRAS)], check=True)
        found = json.loads(report.read_text())["install"]
    return {item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"] for item in found}


def main() -> None:
    """Resolve every Python version and write the file."""
    resolved = {version: resolve(version) for version in VERSIONS}
    lines = ["# Written by tools/lock.py. Exact versions for Python 3.10 to 3.13; Linux, x86-64."]
    for name in sorted({name for packages in resolved.values() for name in packages}):
        pins = {version: packages.get(name) for version, packages in resolved.items()}
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
