"""Every recipe is code to copy, alone on its page, a tab a framework; `recipes/` has the tests of each."""

import ast
import re

import pytest
from support.recipes import FOLDER, TITLES, programs

PROGRAMS = list(programs())
PAGES = sorted(page.name for page in FOLDER.glob("*.md") if page.stem != "index")
#: What a recipe for each framework imports.
MODULES = {"Flax linen": r"flax\.linen|trigru\.impls\.linen", "Flax NNX": r"flax\.nnx|trigru\.impls\.nnx"}
MODULES["Equinox"] = r"equinox|trigru\.impls\.equinox"


@pytest.mark.parametrize("page", PAGES)
def test_a_recipe_has_a_block_for_each_framework_and_none_beside(page):
    """Also that the site lists the page."""
    found = [(program.heading, program.title) for program in PROGRAMS if program.page == page]
    assert found
    assert found == [(heading, title) for heading in dict(found) for title in TITLES.values()]


def test_code_imports_what_it_uses_of_its_own_framework_and_checks_nothing():
    for program in PROGRAMS:
        nodes = list(ast.walk(ast.parse(program.code)))
        assert not [node for node in nodes if isinstance(node, ast.Assert)], program
        imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {(alias.asname or alias.name).split(".")[0] for node in imports for alias in node.names}
        assert names <= {node.id for node in nodes if isinstance(node, ast.Name)}, program
        modules = {f"{getattr(node, 'module', '')}.{alias.name}" for node in imports for alias in node.names}
        frameworks = {title for title, of in MODULES.items() for name in modules if re.match(rf"\.?({of})\b", name)}
        assert frameworks == {program.title}, program
