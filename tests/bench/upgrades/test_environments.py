"""Version sets, and their environments, made by a uv that installs nothing."""

import json
import stat
import subprocess
import sys
from datetime import date, timedelta
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest
from trigru.bench.upgrades import environments, version_sets
from trigru.bench.upgrades.environments import (
    EnvironmentFailedError,
    Environments,
    find_uv,
    requirements_of,
)
from trigru.bench.upgrades.matrix import read_sets
from trigru.bench.upgrades.version_sets import (
    SUBJECTS,
    days_between,
    name_of,
    read_day,
    read_set,
    today,
    with_candidates,
)
from trigru.common.errors import InputError, UnavailableError

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


def test_a_day_a_month_and_versions_in_any_spacing():
    for text, requirements, day in (
        ("2025-01-31", (), date(2025, 1, 31)),
        ("2025-02", (), date(2025, 2, 1)),
        ("  jax==0.6.2   flax>=0.11,<0.12 ", ("jax==0.6.2", "flax>=0.11,<0.12"), None),
    ):
        found = read_set(text)
        assert (found.requirements, found.day) == (requirements, day)
        assert found.name == (" ".join(requirements) or day.isoformat())


def test_today_is_a_day_and_what_is_in_the_future_none():
    assert read_day(today().isoformat()) == today()
    with pytest.raises(InputError, match="in the future"):
        read_day((today() + timedelta(days=2)).isoformat())


def test_a_clone_a_wheel_and_a_commit_are_taken_as_they_are(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'Ml_Dtypes'\n")
    text = (
        f"{tmp_path} ./jax-0.7-py3-none-any.whl git+file:///home/me/flax.git@main "
        "optax==0.2.5"
    )
    found = read_set(text)
    assert list(map(name_of, found.requirements)) == [
        "ml-dtypes",
        "jax",
        "flax",
        "optax",
    ]
    kept = {
        part.partition("==")[0]
        for part in with_candidates([text]).requirements
        if "==" in part
    }
    assert {"optax", "equinox", "numpy"} <= kept
    assert not {"ml-dtypes", "jax", "jaxlib", "flax"} & kept
    monkeypatch.setattr(version_sets, "installed", lambda: {"flax": "0.12.0, editable"})
    assert with_candidates(["optax==0.2.5"]).requirements == (
        "optax==0.2.5",
        "flax==0.12.0",
    )


@pytest.mark.parametrize(
    ("first", "every", "end", "found"),
    [
        (
            date(2024, 2, 29),
            "Year ",
            date(2028, 3, 1),
            [
                "2024-02-29",
                "2025-02-28",
                "2026-02-28",
                "2027-02-28",
                "2028-02-29",
                "2028-03-01",
            ],
        ),
        (
            date(2025, 12, 31),
            "2 months",
            date(2026, 6, 30),
            ["2025-12-31", "2026-02-28", "2026-04-30", "2026-06-30"],
        ),
        (
            date(2025, 1, 1),
            "day",
            date(2025, 1, 3),
            ["2025-01-01", "2025-01-02", "2025-01-03"],
        ),
        (
            date(2025, 1, 31),
            "month",
            date(2025, 3, 1),
            ["2025-01-31", "2025-02-28", "2025-03-01"],
        ),
        (
            date(2025, 1, 31),
            "5week",
            date(2025, 4, 10),
            ["2025-01-31", "2025-03-07", "2025-04-10"],
        ),
        (
            date(2025, 1, 1),
            "99999999999 days",
            date(2025, 1, 3),
            ["2025-01-01", "2025-01-03"],
        ),
        (date(2025, 1, 1), "month", date(2025, 1, 1), ["2025-01-01"]),
    ],
)
def test_each_day_comes_once_also_where_months_and_years_end(first, every, end, found):
    assert [s.name for s in days_between(first.isoformat(), every, end=end)] == found
    assert [
        s.day.isoformat() for s in days_between(first.isoformat(), every, end=end)
    ] == found


def test_a_range_goes_on_until_today_after_what_is_named():
    named, *of_range = read_sets(["2025-01-31"], "2025-02-01", "month")
    assert (named.name, len(of_range) > 3) == ("2025-01-31", True)


def test_what_a_set_decides_about_has_no_bounds_of_ours():
    asked = [
        "jax>=0.10",
        "ml-dtypes",
        "rich>=13",
        "torch>=2; extra == 'torch'",
        "tomli; python_version < '3.0'",
    ]
    asked += ["flax>=0.10; extra == 'flax'", "msgspec>=0.19; extra == 'bench'"]
    assert requirements_of(asked) == [
        "jax",
        "ml-dtypes",
        "rich>=13",
        "flax",
        "msgspec>=0.19",
    ]


class RecordingUv:
    """A uv that installs nothing, and writes down its commands."""

    def __init__(self, folder):
        folder.mkdir()
        self.program = folder / "uv"
        self.program.write_text(UV)
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self._folder = folder

    def commands(self):
        lines = (self._folder / "commands").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def fail_with(self, text):
        (self._folder / "fails").write_text(text)

    def environments(self, python="3.13", more=()):
        return Environments(python, more, uv=str(self.program))


@pytest.fixture
def uv(tmp_path):
    return RecordingUv(tmp_path / "uv")


def test_a_set_is_installed_from_wheels_with_the_versions_that_it_names(uv):
    made = uv.environments(more=["mine==1"]).get(read_set("jax==0.6.2"))
    (install,) = uv.commands()
    assert {
        "--isolated",
        "--no-project",
        "--no-build",
        "--with=jax==0.6.2",
        "--with=mine==1",
    } <= set(install)
    assert {"--with=flax", "--with=equinox"} <= set(install), "the set decides"
    assert "--with=jax" not in install
    assert any(word.startswith("--with=msgspec>=") for word in install)
    assert install[install.index("--python") + 1] == "3.13"
    assert not any("exclude-newer" in word for word in install)
    assert install[install.index("python") : -1] == ["python", "-P", "-c"]
    assert list(made.command[1:]) == install[: install.index("python")]
    assert made.versions == {"jax": "0.6.2"}


def test_releases_are_listed_from_the_oldest(uv):
    assert uv.environments().releases("jax") == ["0.6.1", "0.6.2", "0.7.0"]


def test_a_clone_is_installed_in_place_and_may_be_built(uv, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'flax'\n")
    clones = read_set(f"{tmp_path} git+file:///home/me/equinox@main")
    uv.environments().get(clones)
    (install,) = uv.commands()
    assert {
        f"--with-editable={tmp_path}",
        "--with=git+file:///home/me/equinox@main",
        "--with=jax",
    } <= set(install)
    assert not {"--no-build", "--with=flax", "--with=equinox"} & set(install)


def test_this_trigru_runs_in_the_environment_and_nothing_else_of_here(uv):
    command = uv.environments().get(read_set("jax==0.6.2")).command
    folder = Path(command[-1].partition("=")[2])
    assert {path.name.partition("-")[0] for path in folder.iterdir()} == {"trigru"}
    code = (
        "import trigru.common.errors; from importlib.metadata import version; "
        "print(version('trigru'))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-S", "-c", code],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == version("trigru")


def test_a_day_limits_the_frameworks_and_nothing_else(uv):
    uv.environments().get(read_set("2025-01-10"))
    (install,) = uv.commands()
    limits = []
    for word, next_word in pairwise(install):
        if word == "--exclude-newer-package":
            limits.append(next_word)
    assert limits == [f"{name}=2025-01-10T23:59:59Z" for name in SUBJECTS]
    assert "--exclude-newer" not in install


@pytest.mark.parametrize(
    ("text", "reason", "is_lasting"),
    [
        ("error: No solution found when ...", "No solution found when", True),
        ("error: timed out", "error: timed out", False),
        ("", "uv ended with 1", False),
    ],
)
def test_a_failure_is_reported_as_uv_reports_it(uv, text, reason, is_lasting):
    uv.fail_with(text)
    with pytest.raises(EnvironmentFailedError, match=reason) as raised:
        uv.environments().get(read_set("jax==0.6.2"))
    assert raised.value.lasting is is_lasting


def test_an_installation_that_takes_too_long_is_given_up(uv, monkeypatch):
    monkeypatch.setattr(environments, "LIMIT_S", 1e-3)
    with pytest.raises(EnvironmentFailedError, match="took longer than") as raised:
        uv.environments().get(read_set("jax==0.6.2"))
    assert not raised.value.lasting


def test_without_uv_it_says_how_to_get_it(tmp_path):
    with pytest.raises(UnavailableError, match="pip install uv"):
        find_uv(python=str(tmp_path / "python"), path=str(tmp_path))
