"""The README is short, and shows what `trigru port` prints. TRIGRU_GOLDEN=write writes that anew."""

import os
import re
from pathlib import Path

from support.cli import call

README = Path(__file__).parents[2] / "README.md"
MARKER = "<!-- checked by tests/docs/test_readme.py -->\n"
SCREEN = re.compile(rf"(?<={re.escape(MARKER)}```text\n).*?(?=```)", re.DOTALL)


def steady(text):
    """The text without the lines of libraries, which change with their versions."""
    return re.sub(r"(\.py):\d+", r"\1", text)


def test_the_readme_has_at_most_900_words():
    assert len(README.read_text(encoding="utf-8").split()) <= 900


def test_the_readme_shows_the_first_lines_of_the_report(tmp_path, monkeypatch):
    text = README.read_text(encoding="utf-8")
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "trigru.parity" in code)
    (tmp_path / "my_port.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    left, out, _ = call("port", "my_port.py")
    assert left == 1
    first = out.partition("\n\n")[0] + "\n\n" + out.partition("\n\n")[2].partition("\n\n")[0] + "\n"
    if os.environ.get("TRIGRU_GOLDEN") == "write":
        text = SCREEN.sub(lambda _: first, text)
        README.write_text(text, encoding="utf-8")
    assert steady(SCREEN.search(text)[0]) == steady(first)
