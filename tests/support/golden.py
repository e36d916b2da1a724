"""Screens that are compared whole with a file.

TRIGRU_GOLDEN=write writes the files anew, to be read as a diff.
"""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "bench" / "reporting" / "golden"


def check_golden(name: str, text: str) -> None:
    """Compare a screen with its file, without spaces at the ends of lines."""
    text = "\n".join(line.rstrip() for line in text.splitlines()).rstrip() + "\n"
    path = FOLDER / f"{name}.txt"
    if os.environ.get("TRIGRU_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
