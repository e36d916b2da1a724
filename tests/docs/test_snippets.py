"""The Python of the README and of the docs runs: a page's blocks in one namespace, a
recipe's tab and a model alone.

`recipes/` has the tests of what each recipe computes. TRIGRU_GOLDEN=write writes the
reports of `trigru port` anew.
"""

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import griffe
import jax
import pytest
import tabs
from support.cli import call
from support.recipes import FOLDER, TITLES, programs
from trigru.common.equality.checks import CHECKS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPETS = [page for page in PAGES if page.parent.name != "recipes"]
EXAMPLE = ROOT / "tests" / "example_port"
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
REPORT = re.compile(
    r"(?<=<!-- checked by tests/docs/test_snippets.py -->\n```text\n).*?(?=```)",
    re.DOTALL,
)
#: A call of each model that a user copies, with its batch of 3.
MODELS = {
    "impls/linen.py": "GRU(8).init_with_output(jax.random.key(0), jax.numpy.ones((3, "
    "5, 4)))[0]",
    "impls/nnx.py": "GRU(4, 8, rngs=nnx.Rngs(0))(jax.numpy.ones((3, 5, 4)))",
    "impls/equinox.py": "time_major(GRU(4, 8, key=jax.random.key(0)), "
    "jax.numpy.ones((5, 3, 4)))",
    "impls/pure.py": "gru(init(4, 8, key=jax.random.key(0)), jax.numpy.ones((3, 5, "
    "4)))",
}
PROGRAMS = list(programs())
RECIPES = sorted(page.name for page in FOLDER.glob("*.md") if page.stem != "index")


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
        monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "snippet"}
    for line, code in blocks(page):
        exec(compile("\n" * line + code, str(page), "exec"), namespace)


def test_the_readme_answers_in_three_frameworks_in_under_15_lines_of_code_each():
    answers = [
        code
        for _, code in blocks(ROOT / "README.md")
        if "carry_init" in code and "class " in code
    ]
    for framework, answer in zip(
        ("flax.linen", "nnx", "equinox"), answers, strict=True
    ):
        assert framework in answer
        lines = [line for line in answer.splitlines() if line.strip()]
        assert len(lines) < 15, answer


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(
            r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")
        ):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


@pytest.mark.parametrize("path", MODELS)
def test_a_model_on_the_page_of_code_runs_alone_and_has_no_adapter(path):
    assert f"<!-- model of {path} -->" in (ROOT / "docs" / "code.md").read_text(
        encoding="utf-8"
    )
    assert re.fullmatch(
        r"    ```python\n.*```",
        tabs.on_page_markdown(f"    <!-- model of {path} -->"),
        re.DOTALL,
    )
    code = tabs.model_of(path)
    assert "PORT" not in code
    namespace = {"__name__": "shown"}
    exec(compile(code, path, "exec"), namespace)
    carry, outputs = eval(MODELS[path], {"jax": jax} | namespace)
    assert (carry.shape, outputs.size) == ((3, 8), 3 * 5 * 8)


SHOWN = re.findall(
    r"^::: (.+)\.(\w+)$",
    (ROOT / "docs" / "results-json.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("module", "name"), SHOWN)
def test_each_field_of_a_results_file_has_a_comment_which_the_page_shows(module, name):
    record = getattr(importlib.import_module(f"trigru.{module}"), name)
    path, lines = Path(inspect.getfile(record)), griffe.LinesCollection()
    lines[path] = (code := path.read_text(encoding="utf-8")).splitlines()
    documented = griffe.visit(module, path, code, lines_collection=lines)[name]
    tabs.Docstrings().on_object(obj=documented)
    _, arguments = documented.docstring.value.split("\n\nArgs:")
    assert re.fullmatch(r"(\n    \w+: .+)+", arguments), arguments


@pytest.mark.parametrize("path", tabs.BESIDE.values())
def test_the_classes_beside_each_other_are_whole_but_for_docstrings(path):
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    (model,) = (
        node for node in body if isinstance(node, ast.ClassDef) and node.name == "GRU"
    )
    for node in model.body:
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    parts = ast.parse("\n".join(tabs.parts_of(path).values())).body
    assert sorted(map(ast.unparse, parts)) == sorted(map(ast.unparse, model.body[1:]))


@pytest.mark.parametrize("page", RECIPES)
def test_a_recipe_has_a_block_for_each_framework_and_none_beside(page):
    """Also that the site lists the page."""
    found = [
        (program.heading, program.title) for program in PROGRAMS if program.page == page
    ]
    assert found
    assert found == [
        (heading, title) for heading in dict(found) for title in TITLES.values()
    ]


def test_a_recipe_imports_in_order_what_it_uses(tmp_path):
    """A tab with what the frameworks share below it, where a name may be imported
    again.
    """
    for number, program in enumerate(PROGRAMS):
        (tmp_path / f"{number}-{program.page}.py").write_text(
            program.code, encoding="utf-8"
        )
    rules = [
        "--isolated",
        "--line-length=120",
        "--select=I,F",
        "--ignore=F811",
        "--output-format=concise",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, tmp_path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_of_the_page_of_ports_is_installed_found_and_checked(tmp_path):
    """As a stranger would install it, by pip."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir

    def run(*command, **own):
        command = [sys.executable, "-m", *command]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=env | own,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    copytree(
        EXAMPLE,
        tmp_path / "source",
        ignore=ignore_patterns("__pycache__", "build", "*.egg-info"),
    )
    options = [
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--no-cache-dir",
        "--target",
        "packages",
    ]
    run(
        "pip",
        "--isolated",
        "--disable-pip-version-check",
        "install",
        *options,
        "./source",
    )
    command = (
        "trigru.bench.cli",
        "verify",
        "--port",
        "by-hand",
        "--dtype",
        "float64",
        "--format",
        "json",
    )
    data = json.loads(run(*command, PYTHONPATH=str(tmp_path / "packages")))
    assert (data["passed"], data["unavailable"]) == (True, {})
    assert {m["port"] for m in data["measurements"]} == {"by-hand"}
    assert {m["check"] for m in data["measurements"]} == {
        check.name for check in CHECKS
    } - {"class"}


def steady(text):
    """The text without what another version of a library changes: its lines, and how
    many values there are.
    """
    return re.sub(
        r"\d+ of \d+ values", "n of n values", re.sub(r"(\.py):\d+", r"\1", text)
    )


@pytest.mark.parametrize("name", ["README.md", "docs/port.md"])
def test_the_page_shows_what_the_command_prints(name, tmp_path, monkeypatch):
    """The README shows its first two paragraphs."""
    path, folder = ROOT / name, tmp_path / "project"
    page = path.read_text(encoding="utf-8")
    folder.mkdir()
    monkeypatch.chdir(folder)
    code = next(code for _, code in blocks(path) if "trigru.parity" in code)
    (folder / "my_port.py").write_text(code, encoding="utf-8")
    left, out, _ = call("port", "my_port.py")
    assert left == 1
    if name == "README.md":
        out = "\n\n".join(out.split("\n\n")[:2]) + "\n"
    if os.environ.get("TRIGRU_GOLDEN") == "write":
        page = REPORT.sub(lambda _: out, page, count=1)
        path.write_text(page, encoding="utf-8")
    assert steady(REPORT.search(page)[0]) == steady(out)


def test_the_mapping_that_the_page_shows_can_be_pasted(tmp_path, monkeypatch):
    path = ROOT / "docs" / "port.md"
    page = path.read_text(encoding="utf-8")
    codes = [code for _, code in blocks(path)]
    cell = next(code for code in codes if "recurrent" in code)
    mapping = next(code for code in codes if code.startswith("import numpy as np\n\nm"))
    verdict = re.search(r"^equinox against model: .*?(?=\n```)", page, re.M | re.S)[0]
    monkeypatch.chdir(tmp_path)
    Path("my_gru.py").write_text(cell, encoding="utf-8")
    Path("pasted.py").write_text(cell + mapping, encoding="utf-8")
    with jax.numpy_rank_promotion("allow"):
        left, out, _ = call("port", "my_gru.py")
        assert left == 1
        assert out.splitlines()[0] == " ".join(verdict.split())
        assert out.endswith(mapping)
        left, out, _ = call("port", "pasted.py")
    assert left == 0, out
