"""A recipe runs once in each framework for all tests of its module, which names it: RECIPE = "page.md#heading"."""

import pytest
from recipes import programs
from support.recipes import TITLES, Recipe


@pytest.fixture(scope="module", params=TITLES)
def recipe(request, tmp_path_factory):
    """What the tab of a framework defines, after it has run."""
    page, _, heading = request.module.RECIPE.partition("#")
    (program,) = (
        p for p in programs() if p.page == page and p.title == TITLES[request.param] and heading in ("", p.heading)
    )
    return Recipe(program, request.param, tmp_path_factory.mktemp("recipe"))
