"""`main.py watermark detect FILES...`: which pictures carry the invisible watermark of Stability's scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.command.arguments import FlagParser
from engine.core.errors import AtelierError

__all__ = ["main"]

_NOTE = """A mark is only found in pictures of the size they were marked at. Anybody can put this one into any picture,
and editing can remove it."""


def main(root: Path, arguments: list[str]) -> int:
    """Print a row for each file; returns 1 when one of them cannot be read as a picture that is large enough."""
    flags = _parser().parse_args(arguments)
    from engine.imaging.watermark import message_bits

    message = message_bits(flags.message)
    rows = [_row(path, message) for path in flags.files]
    if flags.json:
        print(json.dumps(rows, indent=1))
    else:
        _print_table(rows)
    return int(any("error" in row for row in rows))


def _parser() -> FlagParser:
    from engine.imaging.watermark import STABILITY_MESSAGE

    parser = FlagParser(prog="main.py watermark", description="Look for the invisible watermark in pictures.")
    action = parser.add_subparsers(dest="action", required=True, metavar="detect")
    detect = action.add_parser("detect", help="print how many of the 48 bits each file shows", epilog=_NOTE)
    detect.add_argument("files", nargs="+", type=Path, metavar="FILES")
    detect.add_argument("--message", default=STABILITY_MESSAGE, metavar="HEX", help="12 digits (Stability's)")
    detect.add_argument("--json", action="store_true")
    return parser


def _row(path: Path, message: Any) -> dict[str, Any]:
    from engine.imaging import decode_images, to_bytes
    from engine.imaging.watermark import compare_watermark

    try:
        images, _ = decode_images(path, str(path))
        reading = compare_watermark(to_bytes(images[0]).numpy(), message)
    except AtelierError as error:
        return {"file": str(path), "error": error.message}
    return {
        "file": str(path),
        "bits_matched": reading.num_matched,
        "bits": reading.num_bits,
        "verdict": reading.verdict,
        "is_found": reading.is_found,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    width = max(len(row["file"]) for row in rows)
    print(f"{'file':<{width}}  bits   verdict")
    for row in rows:
        told = row.get("error") or f"{row['bits_matched']:>2}/{row['bits']}  {row['verdict']}"
        print(f"{row['file']:<{width}}  {told}")
