"""The page of the four models shows code that runs as it is, from the ports' files."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = re.findall(r"<!-- model of (\S+) -->", (ROOT / "docs" / "code.md").read_text(encoding="utf-8"))


@pytest.fixture
def tabs(monkeypatch):
    """The hooks of the site."""
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    import tabs

    return tabs


def test_every_port_is_shown():
    own = ("linen", "nnx", "equinox", "pure")
    assert [f"impls/{name}.py" for name in own] == PATHS


@pytest.mark.parametrize("path", PATHS)
def test_a_model_runs_alone_and_has_no_adapter(tabs, path):
    code = tabs.model_of(path)
    assert "PORT" not in code
    namespace = {"__name__": "shown"}
    exec(compile(code, path, "exec"), namespace)
    assert "GRU" in namespace or "gru" in namespace


def test_the_page_has_the_code_in_its_tabs(tabs):
    shown = tabs.on_page_markdown("    <!-- model of impls/pure.py -->")
    assert shown.startswith("    ```python\n")
    assert shown.endswith("```")
