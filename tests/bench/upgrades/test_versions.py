"""Version sets: what users write, and what is refused."""

from datetime import date, timedelta

import pytest
import typer
from trigru.bench.commands.matrix import read_sets
from trigru.bench.upgrades.versions import (
    changed,
    days_between,
    name_of,
    read_day,
    read_set,
    requirements_of,
    today,
    with_candidates,
)  # fmt: skip
from trigru.common.errors import InputError


@pytest.mark.parametrize(
    ("text", "requirements", "day"),
    [
        ("2025-01-31", (), date(2025, 1, 31)),
        ("2025-02", (), date(2025, 2, 1)),
        ("  jax==0.6.2   flax>=0.11,<0.12 ", ("jax==0.6.2", "flax>=0.11,<0.12"), None),
    ],
)
def test_a_day_a_month_and_versions_in_any_spacing(text, requirements, day):
    found = read_set(text)
    assert (found.requirements, found.day) == (requirements, day)
    assert found.name == (" ".join(requirements) or day.isoformat())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither a day"),
        ("jax", "names no version"),
        ("jax==", "neither a day"),
        ("2025-13-01", "is no day"),
        ("2025-02-30", "is no day"),
        ("jax==0.6.2; rm", "neither a day"),
        ("jax @ https://example.org/jax.whl", "names no version"),
        ("--index-url=x", "neither a day"),
    ],
)
def test_what_is_no_set_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        read_set(text)


def test_a_clone_a_wheel_and_a_commit_are_taken_as_they_are(tmp_path):
    with pytest.raises(InputError, match="expected the folder of a package"):
        read_set(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'Ml_Dtypes'\n")
    text = f"{tmp_path} ./jax-0.7-py3-none-any.whl git+file:///home/me/flax.git@main optax==0.2.5"
    found = read_set(text)
    assert list(map(name_of, found.requirements)) == ["ml-dtypes", "jax", "flax", "optax"]
    kept = {part.partition("==")[0] for part in with_candidates([text]).requirements if "==" in part}
    assert {"optax", "equinox", "numpy"} <= kept
    assert not {"ml-dtypes", "jax", "jaxlib", "flax"} & kept


def test_a_day_to_come_is_refused():
    assert read_day(today().isoformat()) == today()
    with pytest.raises(InputError, match="in the future"):
        read_day((today() + timedelta(days=2)).isoformat())


@pytest.mark.parametrize(
    ("first", "every", "end", "found"),
    [
        (date(2024, 2, 29), "Year ", date(2028, 3, 1),
         ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29", "2028-03-01"]),
        (date(2025, 12, 31), "2 months", date(2026, 6, 30), ["2025-12-31", "2026-02-28", "2026-04-30", "2026-06-30"]),
        (date(2025, 1, 1), "day", date(2025, 1, 3), ["2025-01-01", "2025-01-02", "2025-01-03"]),
        (date(2025, 1, 31), "month", date(2025, 3, 1), ["2025-01-31", "2025-02-28", "2025-03-01"]),
        (date(2025, 1, 31), "5week", date(2025, 4, 10), ["2025-01-31", "2025-03-07", "2025-04-10"]),
        (date(2025, 1, 1), "9999years", date(2025, 1, 3), ["2025-01-01", "2025-01-03"]),
        (date(2025, 1, 1), "99999999999 days", date(2025, 1, 3), ["2025-01-01", "2025-01-03"]),
        (date(2025, 1, 1), "month", date(2025, 1, 1), ["2025-01-01"]),
    ],
)  # fmt: skip
def test_each_day_comes_once_also_where_months_and_years_end(first, every, end, found):
    assert [s.name for s in days_between(first, every, end=end)] == found
    assert [s.day.isoformat() for s in days_between(first, every, end=end)] == found


def test_versions_that_differ_come_or_go_are_told_by_name():
    old, new = {"numpy": "2.0", "jax": "0.6", "flax": "1", "rich": "13"}, {"jax": "0.7", "chex": "1", "flax": "1"}
    assert changed(old, new | {"rich": "13"}) == ["chex none -> 1", "jax 0.6 -> 0.7", "numpy 2.0 -> none"]


def test_no_step_is_refused():
    for every in ("", "0days", "month-ish", "-1day", "2 fortnights"):
        with pytest.raises(InputError, match="expected a time"):
            days_between(date(2025, 1, 1), every)


def test_what_a_set_decides_about_has_no_bounds_of_ours():
    asked = ["jax>=0.10", "ml-dtypes", "rich>=13", "torch>=2; extra == 'peers'", "tomli; python_version < '3.0'"]
    asked += ["flax>=0.10; extra == 'flax'", "msgspec>=0.19; extra == 'bench'"]
    assert requirements_of(asked) == (["jax", "ml-dtypes", "flax"], ["rich>=13", "msgspec>=0.19"])


def test_a_range_needs_its_start():
    named, *of_range = read_sets(["2025-01-31"], "2025-02-01", "month")
    assert named.name == "2025-01-31"
    assert len(of_range) > 3
    with pytest.raises(typer.BadParameter, match="name a version set"):
        read_sets([], None, "month")
