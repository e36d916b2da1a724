"""The search for a release, on histories that are made up, so that the answer is known."""

from datetime import date, timedelta

import pytest
from trigru.bench.upgrades.bisect import BisectError, bisect
from trigru.bench.upgrades.versions import VersionSet, read_set
from trigru.common.errors import InputError, UnjudgedError

START = date(2025, 1, 1)
JAX = {0: "0.4.37", 9: "0.4.38", 17: "0.5.0", 30: "0.5.1"}
FLAX = {0: "0.10.1", 5: "0.10.2", 17: "0.10.3"}
RELEASES = {"jax": list(JAX.values()), "flax": list(FLAX.values())}


class World:
    """A registry of made-up releases, and something that changed with one of them."""

    def __init__(self, changed, broken=()):
        self.changed, self.broken, self.judged = changed, set(broken), []

    def resolve(self, of):
        if of.day is None:
            versions = dict(requirement.split("==") for requirement in of.requirements)
            assert "rich" not in versions, "no other package is pinned"
            assert versions["jax"] == versions.get("jaxlib", versions["jax"]), "jax and jaxlib are never apart"
            return versions
        past = (of.day - START).days
        newest = {"jax": JAX, "flax": FLAX}
        found = {name: max((d, v) for d, v in line.items() if d <= past)[1] for name, line in newest.items()}
        return {**found, "jaxlib": found["jax"], "rich": of.name}

    def judge(self, of):
        self.judged.append(of.name)
        versions = self.resolve(of)
        if set(versions.items()) & self.broken:
            return None
        name, number = self.changed
        return RELEASES[name].index(versions[name]) < RELEASES[name].index(number)

    def search(self, good=0, bad=40):
        sets = [VersionSet((START + timedelta(days=n)).isoformat(), (), START + timedelta(days=n)) for n in (good, bad)]
        return bisect(*sets, self.judge, self.resolve, RELEASES.__getitem__)


CHANGED = [("jax", "0.5.0"), ("jax", "0.4.38"), ("jax", "0.5.1"), ("flax", "0.10.2"), ("flax", "0.10.3")]


def between(changed):
    """The releases between which something changed."""
    name, number = changed
    before = RELEASES[name][RELEASES[name].index(number) - 1]
    return dict.fromkeys(("jax", "jaxlib") if name == "jax" else (name,), (before, number))


@pytest.mark.parametrize("changed", CHANGED)
def test_the_release_is_named_by_days_and_by_versions(changed):
    world = World(changed)
    assert world.search().changed == between(changed), "two releases came on one day"
    assert len(world.judged) == len(set(world.judged)) <= 12
    good = VersionSet("old", ("jax==0.4.37", "jaxlib==0.4.37", "flax==0.10.1", "equinox==0.11", "optax==0.1"))
    bad = VersionSet("new", ("jax==0.5.1", "jaxlib==0.5.1", "flax==0.10.3", "equinox==0.12", "optax==0.2"))
    assert bisect(good, bad, world.judge, world.resolve, RELEASES.__getitem__).changed == between(changed)


@pytest.mark.parametrize(
    ("changed", "broken", "days", "named"),
    [
        ("0.5.0", "0.4.38", (0, 40), ("0.4.37", "0.5.0")),
        ("0.5.1", "0.4.38", (0, 40), ("0.5.0", "0.5.1")),
        ("0.4.38", "0.5.0", (5, 30), ("0.4.37", "0.4.38")),  # all later days
    ],
)
def test_what_cannot_be_judged_is_gone_around_and_told(changed, broken, days, named):
    world = World(("jax", changed), broken=[("jax", broken)])
    found = world.search(*days)
    assert found.changed["jax"] == named
    assert set(found.skipped) <= set(world.judged)
    assert bool(found.skipped) >= (changed != "0.5.1")
    assert found.asked == len(world.judged)


def test_ends_that_are_alike_or_not_judged_have_no_answer():
    with pytest.raises(BisectError, match="is as GOOD is"):
        World(("jax", "0.5.1")).search(0, 20)
    with pytest.raises(BisectError, match="is not good"):
        World(("jax", "0.4.38")).search(10, 40)
    with pytest.raises(UnjudgedError, match="cannot be judged"):
        World(("jax", "0.5.0"), broken=[("flax", "0.10.3")]).search()


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (("2025-02-01", "2025-01-01"), "has to be before BAD"),
        (("2025-01-20", "2025-01-20"), "has to be before BAD"),
        (("jax==0.10.0", "jax==0.9.1"), "has to be before BAD"),
        (("jax>=0.4", "jax==0.5.0"), "jax>=0.4: expected exact versions"),
        (("jax==0.5.0", "jax>=0.4"), "jax>=0.4: expected exact versions"),
    ],
)
def test_ends_in_the_wrong_order_or_without_exact_versions_are_refused(ends, said):
    world = World(("jax", "0.5.0"))
    with pytest.raises(InputError, match=said):
        bisect(*map(read_set, ends), world.judge, world.resolve, RELEASES.__getitem__)
    assert world.judged == []


def test_packages_move_in_their_order_however_they_were_written():
    good = VersionSet("old", ("zstd==1", "optax==1", "flax==1", "jaxlib==1", "jax==1", "equinox==1"))
    bad = VersionSet("new", tuple(text.replace("1", "2") for text in good.requirements))
    judged = []

    def judge(of):
        judged.append({text.partition("==")[0] for text in of.requirements if text.endswith("2")})
        return "zstd" not in judged[-1]

    assert bisect(good, bad, judge, World(("jax", "0.5.0")).resolve, lambda name: []).changed == {"zstd": ("1", "2")}
    order = ("jax", "jaxlib", "flax", "equinox", "optax")
    assert all(some == set(order[: len(some)]) for some in judged[2:])


@pytest.mark.parametrize(
    ("good", "bad", "releases", "changed"),
    [
        (("jax==1",), ("jax==1", "chex==2"), ["1", "2"], {"chex": ("none", "2")}),
        (("jax==1",), ("jax==3",), ["1", "2"], {"jax": ("1", "3")}),
        (("jax==1",), ("jax==3",), ["2", "3"], {"jax": ("1", "3")}),
        (("jax==1",), ("jax==3",), ["1", "2", "3"], {"jax": ("1", "2")}),
    ],
)
def test_a_package_that_comes_or_whose_releases_are_not_known_is_named_as_it_is(good, bad, releases, changed):
    judged = lambda of: of.requirements == good  # noqa: E731
    found = bisect(
        VersionSet("a", good), VersionSet("b", bad), judged, World(("jax", "0.5.0")).resolve, lambda name: releases
    )
    assert found.changed == changed


def test_what_changed_with_no_framework_is_said():
    world = World(("jax", "0.5.1"))
    sets = [VersionSet(day.isoformat(), (), day) for day in (START + timedelta(days=n) for n in (1, 4))]
    with pytest.raises(BisectError, match="none of the frameworks moved"):
        bisect(*sets, lambda of: of.day is not None and of.day < sets[1].day, world.resolve, RELEASES.__getitem__)
