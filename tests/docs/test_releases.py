"""What the page of releases says is what the published matrix has."""

from pathlib import Path

import pytest
from trigru.bench.upgrades.matrix import read

DOCS = Path(__file__).parents[2] / "docs"
PORTS = ("pure", "linen", "nnx", "equinox")
ROWS = read(DOCS / "results" / "releases.json").rows
BY_DAY = {row.name: row for row in ROWS}


def says(text):
    assert text in (DOCS / "releases.md").read_text(encoding="utf-8")


def test_it_is_of_a_dozen_sets_over_eighteen_months_and_all_were_taken():
    assert len(ROWS) >= 12
    assert (int(ROWS[-1].name[:4]) - int(ROWS[0].name[:4])) * 12 + int(ROWS[-1].name[5:7]) >= 18
    assert {(row.reason, row.python) for row in ROWS} == {("", "3.13")}


def test_nothing_computes_another_function_and_one_release_draws_otherwise():
    assert not any("function" in counts for row in ROWS for counts in row.counts.values())
    drawn = {row.name: [port for port in PORTS if "draws" in row.counts.get(port, ())] for row in ROWS}
    assert {day: ports for day, ports in drawn.items() if ports} == {"2025-03-15": ["pure", "linen", "equinox"]}
    assert BY_DAY["2025-01-15"].versions["jax"] == "0.4.38"


def test_lines_of_python():
    def shown(port, package, *days):
        """The lines of a train step and the version, of each day."""
        return [part for day in days for part in (BY_DAY[day].facts[port]["lines"], BY_DAY[day].versions[package])]

    assert {row.facts["linen"]["lines"] for row in ROWS} == {10}
    assert {row.facts["pure"]["lines"] for row in ROWS} == {23}
    found = shown("equinox", "equinox", "2025-03-15", "2025-05-15", "2026-03-15")
    says("from {} lines in a train step by `filter_jit` (Equinox {}) to {} ({}), and to {} ({})".format(*found))
    rises = [row.facts["equinox"]["lines"] for row in ROWS[:4]]
    says("with rises between, from {} to {} and from {} to {}".format(*rises))
    most = max(ROWS, key=lambda row: row.facts["nnx"]["lines"]).name
    found = shown("nnx", "flax", "2025-01-15", "2025-03-15", most, ROWS[-1].name)
    says("from {} lines by `nnx.jit` (Flax {}) to {} ({}), then up to {} ({}); it is {} now".format(*found[:-1]))


@pytest.mark.parametrize("day", ["2025-09-15", "2025-11-15", "2026-01-15"])
def test_cached_partial_failed_in_three_sets(day):
    assert BY_DAY[day].facts["nnx"]["works"] != "yes"
    assert BY_DAY["2026-03-15"].facts["nnx"]["works"] == "yes"
    assert [BY_DAY[day].versions["flax"] for day in ("2025-09-15", "2026-01-15")] == ["0.11.2", "0.12.2"]


def test_one_release_rounded_worse():
    worse, next_one = BY_DAY["2025-09-15"], BY_DAY["2025-11-15"]
    assert (worse.versions["jax"], next_one.versions["jax"]) == ("0.7.1", "0.8.0")
    assert all("failed" in worse.facts[port]["equal"] for port in PORTS)
    assert all("failed" not in next_one.facts[port]["equal"] for port in ("pure", "linen", "equinox"))


def test_the_last_two_are_of_one_environment_and_alike():
    assert ROWS[-1].versions == ROWS[-2].versions
    assert ROWS[-1].counts == {}
