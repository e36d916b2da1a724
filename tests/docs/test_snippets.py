"""Every Python block of the README and the docs runs, those of one page in one namespace, in order.

The recipes, whose blocks run in a namespace each, are in test_recipes.py and in recipes/.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPETS = [page for page in PAGES if page.parent.name != "recipes"]
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    """The code and its line, with the indentation of a tab taken off."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        indent, code = match.groups()
        line = text[: match.start()].count("\n") + 1
        yield line, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)


@pytest.mark.parametrize("page", SNIPPETS, ids=lambda p: str(p.relative_to(ROOT)))
def test_snippets_run(page, tmp_path, monkeypatch, request):
    if page.name == "ports.md":  # whose ports are asked to refuse bad calls themselves
        request.getfixturevalue("unchecked")
        monkeypatch.syspath_prepend(ROOT / "tests" / "example_port")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "snippet"}
    for line, code in blocks(page):
        exec(compile("\n" * line + code, str(page), "exec"), namespace)


def test_the_readme_answers_in_three_frameworks_in_under_15_lines_each():
    answers = [code for _, code in blocks(ROOT / "README.md") if "carry_init" in code and "class " in code]
    for framework, answer in zip(("flax.linen", "nnx", "equinox"), answers, strict=True):
        assert framework in answer
        assert len(answer.strip().splitlines()) < 15, answer


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
