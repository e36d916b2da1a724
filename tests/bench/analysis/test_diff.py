"""What changed between two runs: nothing where nothing did, and no more than what did.

The runs are drawn, not measured: each has its machine's mood, which all arms share, and
each arm its luck in each process.
"""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from support.runs import (
    ARMS,
    EQUAL,
    GROUPS,
    draw_run,
    with_benchmarks,
    with_facts,
    with_provenance,
)
from trigru.bench.analysis.comparison import TimeComparison
from trigru.bench.analysis.diff import TOO_NOISY, diff, judge_together
from trigru.bench.results.arm import Untimed
from trigru.bench.results.grouping import grouped
from trigru.common.errors import TrigruError

WRONG = replace(EQUAL, error=1.0)

pytestmark = pytest.mark.usefixtures("quick_bootstrap")


@pytest.fixture(scope="module")
def old():
    return draw_run(1)


@pytest.fixture
def unmoved():
    """Two groups of a run beside itself: 18 arms, of which none moved."""
    return diff(
        *2
        * [
            draw_run(
                0, groups=GROUPS[:2], arms=ARMS | {f"nnx[{n}]": 2.0 for n in range(2)}
            )
        ]
    )


def judged(found, *moved, fail_above=0.05):
    """The changes where arms have moved, each by (verdict, ratio, chance), one in each
    group in turn.
    """
    of_group = [
        [c for c in of if c.arm.role == "arm"]
        for of in grouped(found.changes, lambda c: c.arm.group).values()
    ]
    arms = [arms[n] for n in range(len(of_group[0])) for arms in of_group]
    changed = {
        arm.arm.id: replace(
            arm,
            verdict=way,
            comparison=TimeComparison(ratio, ratio, ratio),
            chance=chance,
        )
        for arm, (way, ratio, chance) in zip(arms, moved, strict=False)
    }
    changes = judge_together(
        [changed.get(c.arm.id, c) for c in found.changes], fail_above
    )
    return replace(found, changes=changes, fail_above=fail_above), [*changed]


@pytest.mark.parametrize(
    ("moved", "believed"),
    [
        ([], []),
        ([("slower", 1.2, 0.0024)], [0]),
        ([("slower", 1.2, 0.0028)], []),
        (
            [("slower", 1.2, 0.0024), ("slower", 1.2, 0.0028), ("slower", 1.2, 0.0032)],
            [0, 1],
        ),
        ([("faster", 0.8, 1 - 0.0024)], [0]),
        ([("faster", 0.8, 1 - 0.0028)], []),
        ([("faster", 0.8, 1 - 0.0024), ("slower", 1.2, 0.0028)], [0]),
        ([("indistinguishable", 1.2, 0.0024), ("slower", 1.2, 0.0028)], [1]),
    ],
)
def test_an_arm_is_believed_among_all_groups_arms_in_its_direction(
    unmoved, moved, believed
):
    """Of 18, each is held to 0.05 / 18, the next to 0.05 / 17.

    Neither the baseline nor its copy counts.
    """
    found, ids = judged(unmoved, *moved)
    assert len(found.judged) == 18
    assert [c.arm.id for c in found.changes if c.believed] == [
        ids[n] for n in sorted(believed)
    ]
    slow = [ids[n] for n in believed if moved[n][0] == "slower"]
    assert [c.arm.id for c in found.regressions] == slow
    doubted = [
        ids[n]
        for n, (way, *_) in enumerate(moved)
        if way == "slower" and n not in believed
    ]
    assert [
        c.arm.id for c in found.judged if c.verdict == "slower" and not c.believed
    ] == doubted
    assert found.exit_code == bool(slow)


@pytest.mark.parametrize(
    ("interval", "moved"),
    [
        ((1.2, 1.1, 1.3), True),
        ((1.2, 1.0, 1.4), False),
        ((0.8, 0.7, 0.9), True),
        ((0.8, 0.6, 1.0), False),
        ((1.04, 1.03, 1.05), False),
    ],
)
def test_a_baseline_moved_if_it_did_beyond_its_interval_and_the_share_of_an_arm(
    unmoved, interval, moved
):
    changes = [
        replace(c, comparison=TimeComparison(*interval)) if c.arm.is_baseline else c
        for c in unmoved.changes
    ]
    groups = {c.arm.group for c in changes if moved}
    assert replace(unmoved, changes=changes).moved_baselines() == dict.fromkeys(
        groups, interval[0]
    )


@pytest.mark.parametrize("floors", [(0.01, 0.4), (0.4, 0.01)])
def test_the_floor_is_the_larger_of_the_two(old, floors):
    slow = draw_run(2, {"linen": 1.3})
    found = diff(with_facts(old, floor=floors[0]), with_facts(slow, floor=floors[1]))
    assert {change.floor for change in found.changes} == {0.4}
    assert all(change.lost_in_noise for change in found.judged)
    limit = diff(with_facts(old, floor=TOO_NOISY), with_facts(slow, floor=0.01))
    assert not any(change.lost_in_noise for change in limit.judged)
    assert found.exit_code == 0
    assert (
        diff(with_facts(old, floor=0.01), with_facts(slow, floor=0.01)).exit_code == 1
    )


def calm_runs():
    """Two runs without noise; in the second, linen takes 1.25 times as long."""
    calm = {"groups": GROUPS[:1], "processes": 1, "noise": 0, "luck": 0, "mood": 0}
    return draw_run(0, **calm), draw_run(0, {"linen": 1.25}, **calm)


def test_an_arm_at_the_very_share_that_is_allowed_is_no_regression():
    old, new = calm_runs()
    (change,) = (c for c in diff(old, new).changes if c.arm.port == "linen")
    ratio = change.comparison.ratio
    assert ratio == pytest.approx(1.25)

    at_limit = diff(old, new, fail_above=float(ratio - 1))
    assert at_limit.regressions == []
    assert at_limit.exit_code == 0

    below = diff(old, new, fail_above=float(np.nextafter(ratio, 0) - 1))
    assert [change.arm.name for change in below.regressions] == ["linen[apply]"]
    assert below.exit_code == 1


def test_a_share_below_zero_is_refused():
    old, new = calm_runs()
    with pytest.raises(TrigruError, match=r"fail_above is -0.1, expected a share"):
        diff(old, new, fail_above=-0.1)


def test_what_is_missing_for_a_reason_says_which(old):
    lacking = with_benchmarks(
        old,
        [
            b
            for b in old.benchmarks
            if b.arm.port != "linen" and b.name != "nnx[leaves]"
        ],
    )
    untimed = [
        Untimed(b.arm, "it crashed.") for b in old.benchmarks if b.name == "nnx[leaves]"
    ]
    found = diff(old, msgspec.structs.replace(lacking, untimed=untimed)).problems
    assert [(p.arms[0].port, p.detail, len(p.arms)) for p in found] == [
        ("linen", "", 3),
        ("nnx", "it crashed", 3),
    ]


def test_a_proof_that_was_lost_fails_whatever_the_times(old):
    again = draw_run(2)

    def compared(was, now, **allowed):
        return diff(
            with_provenance(old, equality=was),
            with_provenance(again, equality=now, complete=False),
            **allowed,
        )

    fused, nnx = replace(EQUAL, kernel="fused"), replace(EQUAL, port="nnx")
    found = compared([EQUAL, fused, nnx], [EQUAL, replace(WRONG, kernel="fused"), nnx])
    assert [(proof.port, proof.kernel) for proof in found.lost_proofs] == [
        ("linen", "fused")
    ]
    assert found.exit_code == 1, "though the run was interrupted"
    step = replace(WRONG, check="step")
    assert compared([WRONG], [WRONG, step]).exit_code == 1, (
        "another check failed before"
    )
    some = (
        ([EQUAL], [EQUAL]),
        ([WRONG, step], [WRONG]),
        ([WRONG], [EQUAL]),
        ([EQUAL], [nnx]),
        ([EQUAL], None),
    )
    for was, now in some:
        accepted = compared(was, now, anyway=True)
        assert (accepted.lost_proofs, accepted.exit_code) == ([], 0)
    sides = {
        p.port: (p.old is not None, p.new is not None)
        for p in compared([EQUAL], [nnx]).proofs
    }
    assert sides == {"linen": (True, False), "nnx": (False, True)}
