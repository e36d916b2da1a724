"""Environments of version sets, made by a uv that is made up: what it is told, and what is left of a failure."""

import json
import os
import stat
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from trigru.bench.upgrades import environments
from trigru.bench.upgrades.environments import EnvironmentFailedError, Environments
from trigru.bench.upgrades.versions import SUBJECTS, read_set, today
from trigru.common.errors import UnavailableError

UV = f"""#!{sys.executable}
import json, os, pathlib, sys
place = pathlib.Path(__file__).parent
with open(place / "said", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
words = sys.argv[1:]
if (place / "fails").exists() and words[:2] == ["pip", "install"]:
    sys.exit((place / "fails").read_text())
if words[0] == "venv":
    (pathlib.Path(words[-1]) / "bin").mkdir(parents=True)
(place / "stood").write_text(os.getcwd())
if words[:2] == ["pip", "list"]:
    print(json.dumps([{{"name": "jax", "version": "0.6.2"}}]))
if words[:2] == ["pip", "compile"]:
    print("jax==0.6.2\\njaxlib==0.6.2 ; python_version > '3'\\n# a comment")
if words[:2] == ["tool", "run"]:
    print("jax (0.7.0)\\nAvailable versions: 0.7.0, 0.6.2, 0.6.1\\n  LATEST: 0.7.0")
"""


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """The folder of a uv that does nothing, and writes down what it was told."""
    file = tmp_path / "uv" / "uv"
    file.parent.mkdir()
    file.write_text(UV)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(environments, "_find_uv", lambda: str(file))
    return file.parent


def said(uv):
    return [json.loads(line) for line in (uv / "said").read_text().splitlines()]


@pytest.mark.parametrize("of", ["jax>=0.6", "today"])
def test_what_is_newest_is_so_for_a_day(uv, tmp_path, monkeypatch, of):
    of = of.replace("today", str(today()))
    made = Environments("3.13", folder=tmp_path / "kept")
    first, past = (made.get(read_set(some)).folder for some in (of, "2025-01-31"))
    monkeypatch.setattr(environments, "today", lambda: today() + timedelta(days=1))
    assert made.get(read_set(of)).folder != first
    assert made.get(read_set("2025-01-31")).folder == past


def test_an_environment_is_made_once(uv, tmp_path):
    made = Environments("3.13", folder=tmp_path / "kept")
    first, again = made.get(read_set("jax==0.6.2")), made.get(read_set("jax==0.6.2"))
    assert first == again
    assert first.versions == {"jax": "0.6.2"}
    assert first.folder.is_dir()
    assert [words[0] for words in said(uv)].count("venv") == 1
    assert first.folder != made.get(read_set("jax==0.6.1")).folder
    assert first.folder != Environments("3.12", folder=tmp_path / "kept").get(read_set("jax==0.6.2")).folder


def test_what_else_is_installed_belongs_to_an_environment(uv, tmp_path):
    folders = [
        Environments("3.13", more, folder=tmp_path / "kept").get(read_set("jax==0.6.2")).folder
        for more in ((), ("pytest",), ("pytest", "hypothesis"))
    ]
    assert len(set(folders)) == 3


def test_no_project_around_binds_what_is_chosen(uv, tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")  # whose pyproject.toml may have constraints
    Environments("3.13", folder=tmp_path / "kept").resolve(read_set("jax==0.6.2"))
    assert (uv / "stood").read_text() == str(tmp_path / "kept")
    (tmp_path / "project" / "mine").mkdir()
    Environments("3.13", ["./mine", "pytest"], folder=tmp_path / "kept").get(read_set("jax==0.6.2"))
    install = next(words for words in said(uv) if words[:2] == ["pip", "install"])
    assert install[-2:] == [str(tmp_path / "project" / "mine"), "pytest"]
    assert Environments("bin/python", folder=tmp_path / "kept").python == str(tmp_path / "project" / "bin" / "python")


def test_it_gets_what_the_set_says_and_wheels_alone(uv, tmp_path):
    Environments("3.13", ["mine==1"], folder=tmp_path / "kept").get(read_set("jax==0.6.2"))
    venv, install, own = said(uv)[:3]
    assert venv[:3] == ["venv", "--python", "3.13"]
    assert {"jax==0.6.2", "mine==1", "flax", "equinox"} <= set(install)
    assert "jax" not in install
    assert not any(word.startswith("flax>") for word in install), "the set decides"
    assert any(word.startswith("msgspec>=") for word in install)
    assert install[install.index("--only-binary") + 1] == ":all:"
    assert not any("exclude-newer" in word for word in install)
    assert "--no-deps" in own


def test_a_day_limits_the_frameworks_and_nothing_else(uv, tmp_path):
    Environments(folder=tmp_path / "kept").get(read_set("2025-01-10"))
    install = said(uv)[1]
    limits = [after for word, after in pairwise(install) if word == "--exclude-newer-package"]
    assert limits == [f"{name}=2025-01-10T23:59:59Z" for name in SUBJECTS]
    assert "--exclude-newer" not in install


@pytest.mark.parametrize(("text", "lasting"), [("× No solution found when ...", True), ("error: timed out", False)])
def test_nothing_is_left_of_one_that_fails(uv, tmp_path, text, lasting):
    (uv / "fails").write_text(text)
    made = Environments(folder=tmp_path / "kept")
    with pytest.raises(EnvironmentFailedError, match=text[2:16]) as raised:
        made.get(read_set("jax==0.6.2"))
    assert raised.value.lasting is lasting
    assert [name for name in os.listdir(tmp_path / "kept") if not name.endswith(".lock")] == []
    (uv / "fails").unlink()
    assert made.get(read_set("jax==0.6.2")).folder.is_dir()


def test_versions_are_resolved_and_releases_listed_from_the_oldest(uv, tmp_path):
    made = Environments("3.13", folder=tmp_path / "kept")
    assert made.resolve(read_set("2025-01-10")) == {"jax": "0.6.2", "jaxlib": "0.6.2"}
    assert made.releases("jax") == ["0.6.1", "0.6.2", "0.7.0"]
    assert said(uv)[-1][-2:] == ["--python-version", "3.13"]


def test_without_uv_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(environments.shutil, "which", lambda _: None)
    monkeypatch.setattr(environments.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UnavailableError, match="pip install uv"):
        Environments()


def test_an_environment_is_of_its_set_day_python_packages_and_trigru(uv, tmp_path, monkeypatch):
    asked = [
        ("jax==0.6.2", "3.13", ()), ("jax==0.6.1", "3.13", ()), ("jax==0.6.2", "3.12", ()),
        ("jax==0.6.2", "3.13", ("pytest",)), ("2025-01-30", "3.13", ()), ("2025-01-31", "3.13", ()),
    ]  # fmt: skip

    def keys():
        return {Environments(python, more, folder=tmp_path)._key(read_set(of)) for of, python, more in asked}

    found = keys()
    for name, value in (("version", "9.9"), ("requires", ["rich>=99"]), ("_trigru", ["/elsewhere"])):
        monkeypatch.setattr(environments, name, lambda *_, value=value: value)
        found |= keys()
    assert len(found) == 4 * len(asked)


def test_each_step_is_done_in_the_environment_that_is_made(uv, tmp_path):
    made = Environments("3.13", folder=tmp_path / "kept").get(read_set("jax==0.6.2"))
    venv, install, own, listed = said(uv)
    assert "--relocatable" in venv
    beside = str(environments._python_of(Path(venv[-1])))
    assert [words[words.index("--python") + 1] for words in (install, own)] == [beside, beside]
    assert listed[listed.index("--python") + 1] == str(made.python)
    assert own[-len(environments._trigru()) :] == environments._trigru()


def test_what_is_resolved_is_what_would_be_installed(uv, tmp_path, monkeypatch):
    made, ran = Environments("3.13.2", ["mine==1"], folder=tmp_path / "kept"), []
    monkeypatch.setattr(made, "_run", lambda words, text=None: ran.append((words, text)) or "[]")
    of = read_set("2025-01-10")
    made.resolve(of)
    made.releases("flax")
    made._make(tmp_path, of)
    (compiled, text), (listed, _), _, (install, _), _ = ran
    assert text.splitlines() == made._wanted(of)
    for words in (compiled, install):
        assert [*pairwise(words)].count(("--exclude-newer-package", f"jax={of.day}T23:59:59Z")) == 1
    assert install[-len(made._wanted(of)) :] == made._wanted(of)
    assert "flax" in listed
    assert listed[listed.index("--only-binary") + 1] == ":all:"
    for words in (compiled, listed):
        assert words[words.index("--python-version") + 1] == "3.13"


def test_a_python_may_be_a_path_or_this_ones_version(uv, tmp_path):
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert Environments(folder=tmp_path).python == this
    assert Environments(sys.executable, folder=tmp_path)._minor() == this


@pytest.mark.parametrize(
    ("origin", "found"),
    [
        ('{"url": "file://FOLDER"}', ["--editable", "FOLDER"]),
        ('{"url": "file://FOLDER/trigru-1.whl"}', ["FOLDER/trigru-1.whl"]),
        ('{"url": "https://example.org/trigru.whl"}', None),
        (None, None),
    ],
)
def test_trigru_is_installed_elsewhere_as_it_is_here(tmp_path, monkeypatch, origin, found):
    class Installed:
        def read_text(self, name):
            return {"direct_url.json": origin and origin.replace("FOLDER", str(tmp_path))}[name]

    monkeypatch.setattr(environments, "distribution", lambda name: Installed())
    expected = found and [word.replace("FOLDER", str(tmp_path)) for word in found]
    assert environments._trigru() == (expected or [f"trigru=={environments.version('trigru')}"])


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("Using Python 3.13.5 environment at: x\nResolved 3 packages in 1ms\n  × No wheel\n  ╰─▶ Because", "No wheel"),
        ("", "uv ended with 3."),
    ],
)
def test_of_a_failure_it_says_what_uv_says_of_the_reason(uv, tmp_path, monkeypatch, stderr, said):
    done = subprocess.CompletedProcess([], 3, "", stderr)
    monkeypatch.setattr(environments.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(EnvironmentFailedError) as raised:
        Environments("3.13", folder=tmp_path).resolve(read_set("jax==0.6.2"))
    assert str(raised.value).startswith(said)
    assert not raised.value.lasting


def test_what_takes_too_long_may_be_tried_again(uv, tmp_path, monkeypatch):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(environments.subprocess, "run", run)
    with pytest.raises(EnvironmentFailedError, match="uv pip took longer than 900 s") as raised:
        Environments("3.13", folder=tmp_path).resolve(read_set("jax==0.6.2"))
    assert not raised.value.lasting
