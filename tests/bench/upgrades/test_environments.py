"""Environments of version sets, made by a uv that is made up: what it is told, and what is said of a failure."""

import json
import stat
import subprocess
import sys
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest
from trigru.bench.upgrades import environments
from trigru.bench.upgrades.environments import EnvironmentFailedError, Environments
from trigru.bench.upgrades.versions import SUBJECTS, read_set
from trigru.common.errors import UnavailableError

UV = f"""#!{sys.executable}
import json, pathlib, sys
place = pathlib.Path(__file__).parent
words = sys.argv[1:]
with open(place / "commands", "a") as file:
    file.write(json.dumps(words) + "\\n")
if (place / "fails").exists():
    sys.exit((place / "fails").read_text())
if "index" in words:
    print("jax (0.7.0)\\nAvailable versions: 0.7.0, 0.6.2, 0.6.1\\n  LATEST: 0.7.0")
elif words[0] == "run":
    print(json.dumps({{"jax": "0.6.2"}}))
"""


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """The folder of a uv that installs nothing, and writes down its commands."""
    file = tmp_path / "uv" / "uv"
    file.parent.mkdir()
    file.write_text(UV)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(environments, "_find_uv", lambda: str(file))
    return file.parent


def commands(uv):
    return [json.loads(line) for line in (uv / "commands").read_text().splitlines()]


def test_a_set_is_installed_from_wheels_with_the_versions_that_it_names(uv):
    made = Environments("3.13", ["mine==1"]).get(read_set("jax==0.6.2"))
    (install,) = commands(uv)
    assert {"--isolated", "--no-project", "--no-build", "--with=jax==0.6.2", "--with=mine==1"} <= set(install)
    assert {"--with=flax", "--with=equinox"} <= set(install), "the set decides"
    assert "--with=jax" not in install
    assert any(word.startswith("--with=msgspec>=") for word in install)
    assert install[install.index("--python") + 1] == "3.13"
    assert not any("exclude-newer" in word for word in install)
    assert install[install.index("python") : -1] == ["python", "-P", "-c"]
    assert list(made.command[1:]) == install[: install.index("python")]
    assert made.versions == {"jax": "0.6.2"}


def test_a_clone_is_installed_in_place_and_may_be_built(uv, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'flax'\n")
    Environments().get(read_set(f"{tmp_path} git+file:///home/me/equinox@main"))
    (install,) = commands(uv)
    assert {f"--with-editable={tmp_path}", "--with=git+file:///home/me/equinox@main", "--with=jax"} <= set(install)
    assert not {"--no-build", "--with=flax", "--with=equinox"} & set(install)


def test_this_trigru_runs_in_the_environment_and_nothing_else_of_here(uv, tmp_path):
    command = Environments("3.13").get(read_set("jax==0.6.2")).command
    folder = Path(command[-1].partition("=")[2])
    assert {path.name.partition("-")[0] for path in folder.iterdir()} == {"trigru"}
    code = "import trigru.common.errors; from importlib.metadata import version; print(version('trigru'))"
    alone = [sys.executable, "-P", "-S", "-c", code]
    done = subprocess.run(alone, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == version("trigru")


def test_a_day_limits_the_frameworks_and_nothing_else(uv):
    Environments().get(read_set("2025-01-10"))
    (install,) = commands(uv)
    limits = [after for word, after in pairwise(install) if word == "--exclude-newer-package"]
    assert limits == [f"{name}=2025-01-10T23:59:59Z" for name in SUBJECTS]
    assert "--exclude-newer" not in install


@pytest.mark.parametrize(
    ("text", "said", "lasting"),
    [
        ("error: No solution found when ...", "error: No solution found when ...", True),
        ("error: timed out", "error: timed out", False),
        ("", "uv ended with 1", False),
        (None, "uv took longer than 0.001 s", False),
    ],
)
def test_a_failure_is_reported_as_uv_reports_it(uv, monkeypatch, text, said, lasting):
    if text is None:
        monkeypatch.setattr(environments, "LIMIT_S", 1e-3)
    else:
        (uv / "fails").write_text(text)
    with pytest.raises(EnvironmentFailedError, match=said) as raised:
        Environments().get(read_set("jax==0.6.2"))
    assert raised.value.lasting is lasting


def test_releases_are_listed_from_the_oldest(uv):
    assert Environments("3.13").releases("jax") == ["0.6.1", "0.6.2", "0.7.0"]


def test_without_uv_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(environments.shutil, "which", lambda _: None)
    monkeypatch.setattr(environments.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UnavailableError, match="pip install uv"):
        Environments()
