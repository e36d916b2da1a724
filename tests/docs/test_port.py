"""The report in docs/port.md is what `trigru port` prints of the file there. TRIGRU_GOLDEN=write writes it anew."""

import os
import re
from pathlib import Path

from support.cli import call

PAGE = Path(__file__).parents[2] / "docs" / "port.md"
FILE = re.compile(r"```python\n(.*?)```", re.DOTALL)
SCREEN = re.compile(r"(?<=```text\n).*?(?=```)", re.DOTALL)


def steady(text):
    """The text without what another version of a library changes: its lines, and how many values there are."""
    return re.sub(r"\d+ of \d+ values", "n of n values", re.sub(r"(, in \S+\.py):\d+", r"\1", text))


def test_the_report_is_what_the_command_prints(tmp_path, monkeypatch):
    page = PAGE.read_text(encoding="utf-8")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "my_port.py").write_text(FILE.search(page)[1], encoding="utf-8")
    left, out, _ = call("port", "my_port.py")
    assert left == 1
    if os.environ.get("TRIGRU_GOLDEN") == "write":
        page = SCREEN.sub(lambda _: out, page, count=1)
        PAGE.write_text(page, encoding="utf-8")
    assert steady(SCREEN.search(page)[0]) == steady(out)
