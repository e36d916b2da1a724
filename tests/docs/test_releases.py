"""What the page of releases says is what the published matrix has."""

from functools import cache
from pathlib import Path

import pytest
from trigru.bench.upgrades.matrix import read

DOCS = Path(__file__).parents[2] / "docs"
PORTS = ("pure", "linen", "nnx", "equinox")


@cache
def rows():
    return read(DOCS / "results" / "releases.json").rows


def row(day):
    (found,) = (row for row in rows() if row.name == day)
    return found


def says(text):
    assert text in (DOCS / "releases.md").read_text(encoding="utf-8")


def lines(day, port):
    return row(day).facts[port]["lines"]


def test_it_is_of_a_dozen_sets_over_eighteen_months_and_all_were_taken():
    assert len(rows()) >= 12
    assert (int(rows()[-1].name[:4]) - int(rows()[0].name[:4])) * 12 + int(rows()[-1].name[5:7]) >= 18
    assert [row.reason for row in rows()] == [""] * len(rows())
    assert {row.python for row in rows()} == {"3.13"}


def test_nothing_computes_another_function_and_one_release_draws_otherwise():
    assert not any("function" in counts for row in rows() for counts in row.counts.values())
    drawn = [row for row in rows() if any("draws" in counts for counts in row.counts.values())]
    assert [row.name for row in drawn] == ["2025-03-15"]
    assert [port for port in PORTS if "draws" in drawn[0].counts[port]] == ["pure", "linen", "equinox"]
    assert row("2025-01-15").versions["jax"] == "0.4.38"


def test_lines_of_python():
    assert {lines(r.name, "linen") for r in rows()} == {10}
    assert {lines(r.name, "pure") for r in rows()} == {23}
    found = lines("2025-03-15", "equinox"), lines("2025-05-15", "equinox"), lines("2026-03-15", "equinox")
    assert [row(day).versions["equinox"] for day in ("2025-03-15", "2025-05-15", "2026-03-15")] == [
        "0.11.12",
        "0.12.2",
        "0.13.6",
    ]
    says(
        "from {} lines in a train step by `filter_jit` (Equinox 0.11.12) to {} (0.12.2), and to {} (0.13.6)".format(
            *found
        )
    )
    most = max(rows(), key=lambda r: r.facts["nnx"]["lines"])
    days = ("2025-01-15", "2025-03-15", most.name, rows()[-1].name)
    found = [lines(day, "nnx") for day in days]
    assert (row("2025-03-15").versions["flax"], most.versions["flax"]) == ("0.10.4", "0.12.2")
    says("from {} lines by `nnx.jit` (Flax 0.10.2) to {} (0.10.4), then up to {} (0.12.2); it is {} now".format(*found))


@pytest.mark.parametrize("day", ["2025-09-15", "2025-11-15", "2026-01-15"])
def test_cached_partial_failed_in_three_sets(day):
    assert row(day).facts["nnx"]["works"] != "yes"
    assert row("2026-03-15").facts["nnx"]["works"] == "yes"
    assert [row("2025-09-15").versions["flax"], row("2026-01-15").versions["flax"]] == ["0.11.2", "0.12.2"]


def test_one_release_rounded_worse():
    assert row("2025-09-15").versions["jax"] == "0.7.1"
    assert all("failed" in row("2025-09-15").facts[port]["equal"] for port in PORTS)
    assert all("failed" not in row("2025-11-15").facts[port]["equal"] for port in ("pure", "linen", "equinox"))
    assert row("2025-11-15").versions["jax"] == "0.8.0"


def test_the_last_two_are_of_one_environment_and_alike():
    assert rows()[-1].versions == rows()[-2].versions
    assert rows()[-1].counts == {}
