"""The reports of the README and of docs/port.md are what `trigru port` prints. TRIGRU_GOLDEN=write writes them anew."""

import os
import re
from pathlib import Path

import pytest
from support.cli import call

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
SCREEN = re.compile(r"(?<=<!-- checked by tests/docs/test_port.py -->\n```text\n).*?(?=```)", re.DOTALL)


def steady(text):
    """The text without what another version of a library changes: its lines, and how many values there are."""
    return re.sub(r"\d+ of \d+ values", "n of n values", re.sub(r"(\.py):\d+", r"\1", text))


@pytest.mark.parametrize("name", ["README.md", "docs/port.md"])
def test_the_page_shows_what_the_command_prints(name, tmp_path, monkeypatch):
    """The README shows its first two paragraphs."""
    path, folder = ROOT / name, tmp_path / "project"
    page = path.read_text(encoding="utf-8")
    folder.mkdir()
    monkeypatch.chdir(folder)
    code = next(code for code in CODE.findall(page) if "trigru.parity" in code)
    (folder / "my_port.py").write_text(code, encoding="utf-8")
    left, out, _ = call("port", "my_port.py")
    assert left == 1
    if name == "README.md":
        out = "\n\n".join(out.split("\n\n")[:2]) + "\n"
    if os.environ.get("TRIGRU_GOLDEN") == "write":
        page = SCREEN.sub(lambda _: out, page)
        path.write_text(page, encoding="utf-8")
    assert steady(SCREEN.search(page)[0]) == steady(out)
