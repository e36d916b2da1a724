"""Every recipe is code to copy, alone and first on its page, a tab a framework; `recipes/` has the tests of each."""

import ast
import re

import pytest
from support.recipes import FOLDER, ROOT, TITLES, frameworks_in, programs

PROGRAMS = programs()
PAGES = sorted({program.page for program in PROGRAMS})
NAMES = [f"{p.page}#{p.heading}[{p.title}]" for p in PROGRAMS]
MODULES = sorted((ROOT / "tests" / "docs" / "recipes").glob("test_*.py"))


def test_every_page_has_recipes():
    assert sorted(page.name for page in FOLDER.glob("*.md") if page.stem != "index") == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_a_recipe_has_a_block_for_each_framework_and_none_beside(page):
    found = [(program.heading, program.title) for program in PROGRAMS if program.page == page]
    headings = dict.fromkeys(heading for heading, _ in found)
    assert found == [(heading, title) for heading in headings for title in TITLES.values()]


@pytest.mark.parametrize("page", PAGES)
def test_code_stands_first(page):
    """After the title of the page, or the heading, and a paragraph."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    parts = re.split(r'^=== "Flax linen"$', text, flags=re.MULTILINE)[:-1]
    for part in parts:
        above = part[part.rindex("\n## ") if "\n## " in part else 0 :]
        assert len([p for p in above.split("\n\n") if p.strip() and not p.strip().startswith("#")]) <= 1, above


@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_code_imports_its_own_framework_alone_and_checks_nothing(program):
    assert frameworks_in(program.code) == {framework for framework, title in TITLES.items() if title == program.title}
    assert not [node for node in ast.walk(ast.parse(program.code)) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_code_uses_what_it_imports(program):
    tree = ast.parse(program.code)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {(alias.asname or alias.name).split(".")[0] for node in imports for alias in node.names}
    assert imported <= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_every_recipe_has_a_module_of_tests():
    named = []
    for module in MODULES:
        text = module.read_text(encoding="utf-8")
        (recipe,) = re.findall(r'^RECIPE = "(.+)"$', text, re.MULTILINE)
        named.append(recipe)
        assert re.search(r"^def test_\w+\((.*\b)?recipe\b", text, re.MULTILINE), f"no test of {module.name} runs it"
    several = {p for p in PAGES if len({program.heading for program in PROGRAMS if program.page == p}) > 1}
    wanted = {f"{p.page}#{p.heading}" if p.page in several else p.page for p in PROGRAMS}
    assert sorted(named) == sorted(wanted)


def test_the_site_lists_every_recipe():
    listed = re.findall(r"^ +- recipes/([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted([*PAGES, "index.md"])
