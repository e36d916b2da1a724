"""Every recipe is code to copy, alone on its page, a tab a framework; `recipes/` has the tests of each."""

import ast

import pytest
from support.recipes import FOLDER, TITLES, programs

PROGRAMS = list(programs())
PAGES = sorted(page.name for page in FOLDER.glob("*.md") if page.stem != "index")
MODULES = {"flax.linen": "linen", "flax.nnx": "nnx", "equinox": "equinox"}
MODULES |= {f"trigru.impls.{framework}": framework for framework in TITLES}


@pytest.mark.parametrize("page", PAGES)
def test_a_recipe_has_a_block_for_each_framework_and_none_beside(page):
    """Also that the site lists the page."""
    found = [(program.heading, program.title) for program in PROGRAMS if program.page == page]
    headings = dict.fromkeys(heading for heading, _ in found)
    assert found
    assert found == [(heading, title) for heading in headings for title in TITLES.values()]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: f"{p.page}#{p.heading}[{p.title}]")
def test_code_imports_what_it_uses_of_its_own_framework_and_checks_nothing(program):
    tree = ast.parse(program.code)
    modules, names = set(), set()
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert)
        if isinstance(node, ast.Import | ast.ImportFrom):
            base = getattr(node, "module", None)
            modules |= {base, *(f"{base}.{alias.name}" if base else alias.name for alias in node.names)}
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    assert names <= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert {TITLES[MODULES[module]] for module in modules & MODULES.keys()} == {program.title}
