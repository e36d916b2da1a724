"""Every recipe runs in every framework, alone and with that framework alone, and asserts what it says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TITLES = {"linen": "Flax linen", "nnx": "Flax NNX", "equinox": "Equinox"}
PAGES = {page.stem: page for page in sorted(ROOT.glob("docs/recipes/*.md")) if page.stem != "index"}
TAB = re.compile(r'^=== "(.+)"\n((?:\n|    .*\n)*)', re.MULTILINE)
BLOCK = re.compile(r"^    ```python\n(.*?)^    ```$", re.MULTILINE | re.DOTALL)
#: By module, the framework that it belongs to.
OF = {"flax.linen": "linen", "flax.nnx": "nnx", "equinox": "equinox"}
OF |= {f"trigru.impls.{framework}": framework for framework in TITLES}


def tabs(page):
    """The titles of a page's tabs in order, each with its blocks: the code and the line before it."""
    text = page.read_text(encoding="utf-8")
    for tab in TAB.finditer(text):
        blocks = [(block[1], tab.start(2) + block.start(1)) for block in BLOCK.finditer(tab[2])]
        yield (
            tab[1],
            [(re.sub("^    ", "", code, flags=re.MULTILINE), text[:start].count("\n")) for code, start in blocks],
        )


def frameworks(code):
    """The frameworks that code imports."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {framework for module, framework in OF.items() if any(f"{n}.".startswith(f"{module}.") for n in names)}


@pytest.fixture(
    params=[(recipe, framework) for recipe in PAGES for framework in TITLES], ids=lambda p: f"{p[0]}[{p[1]}]"
)
def recipe(request):
    """The page, the framework, its code, and the line before it."""
    name, framework = request.param
    ((code, line),) = dict(tabs(PAGES[name]))[TITLES[framework]]
    return PAGES[name], framework, code, line


@pytest.mark.parametrize("name", PAGES)
def test_a_recipe_has_a_block_for_each_framework_and_none_beside(name):
    found = [(title, len(blocks)) for title, blocks in tabs(PAGES[name])]
    assert found == [(title, 1) for title in TITLES.values()]
    assert PAGES[name].read_text(encoding="utf-8").count("```python") == len(TITLES)


def test_a_recipe_holds(recipe, tmp_path, monkeypatch):
    page, _, code, line = recipe
    monkeypatch.chdir(tmp_path)
    exec(compile("\n" * line + code, str(page), "exec"), {"__name__": "recipe"})


def test_a_recipe_needs_its_own_framework_alone_and_ends_in_an_assertion(recipe):
    _, framework, code, _ = recipe
    assert frameworks(code) == {framework}
    assert code.splitlines()[-1].lstrip().startswith("assert ")


def test_the_site_lists_every_recipe():
    listed = re.findall(r"^ +- recipes/([\w-]+)\.md$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted([*PAGES, "index"])
