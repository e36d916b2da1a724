"""What is said of two runs that differ, on a machine whose costs are known."""

import numpy as np
import pytest
from scipy.stats import t
from support.known import FLOOR, STOCK, Arm, bench, between_runs, centred, check, tables_on_screen, trigru, verdict

# What changed between two runs.

CHANGES = {"linen[apply]": 1.12, "nnx[split]": 1.045, "equinox[partition]": 0.9}
GROUPS = ("tiny/forward/float32/stock", "tiny/train_step/float32/stock")
BOTH_PHASES = ("--workload", "tiny", "--phase", "forward", "--phase", "train_step")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The second on a machine that is slower, its device more so than the host; beside that, three arms changed."""
    return [
        bench(tmp_path_factory.mktemp("two"), *BOTH_PHASES, **options)
        for options in ({}, {"whole": 1.12, "device": 1.1, "slower": CHANGES})
    ]


def change(two, group, name):
    """New over old, of the ratio to the baseline or of the time: errors in squares, Welch's degrees of freedom.

    How runs of three processes differ is known beforehand, so that it is beside Welch's.
    """
    of_time = name == "pure[jit]"
    logs = [np.log(arm.blocked_s) if of_time else arm.logs() for arm in (Arm(run, group, name) for run in two)]
    squares = [np.var(log, ddof=1) / len(log) for log in logs]
    freedom = sum(squares) ** 2 / sum(s**2 / 2 for s in squares) if any(squares) else np.inf
    reach = t.ppf(0.975, freedom) * sum(squares) ** 0.5 if any(squares) else 0
    centre = logs[1].mean() - logs[0].mean()
    found = centred(centre, reach := np.hypot(reach, 1.96 * np.hypot(*map(between_runs, logs))))
    return found, t.sf(centre / reach * t.ppf(0.975, freedom), freedom) if reach else (1 - np.sign(centre)) / 2


def believed(chances):
    """Holm's: the least first, each against 0.05 over how many are left, until one is not."""
    ordered = sorted(chances, key=lambda row: chances[row])
    passes = [chances[row] <= 0.05 / (len(ordered) - n) for n, row in enumerate(ordered)]
    return {row for n, row in enumerate(ordered) if all(passes[: n + 1])}


@pytest.mark.parametrize("fail_above", [0.05, 0.03, 0.2])
def test_what_changed(two, fail_above):
    old, new = two
    options = ("--fail-above", fail_above, "--details")
    found = trigru("diff", old.folder, new.folder, *options)
    tables = tables_on_screen(found.stdout)
    measure = "time / pure[jit]"
    named = [(g, name) for g in GROUPS for name in STOCK[:-1]]

    def ratio(row):
        return change(two, *row)[0]

    arms = [(g, name) for g, name in named if "#2" not in name and name != "pure[jit]"]
    sure = believed({row: change(two, *row)[1] for row in arms})

    def word(row):
        _, name = row
        if "#2" in name:
            return "A/A"
        if name == "pure[jit]":
            return "-"
        said = verdict(ratio(row))
        return "FAILED" if said == "slower" and row in sure and ratio(row)[0] > 1 + fail_above else said

    columns = {"new / old": ratio, "floor": lambda row: (FLOOR,), "verdict": word}
    moved = [row for row in named if word(row) in ("FAILED", "slower", "faster")]
    moved += [row for row in named if "#2" in row[1] and verdict(ratio(row)) != "indistinguishable"]
    moved.sort(key=lambda row: (word(row) != "FAILED", -abs(np.log(ratio(row)[0]))))
    failed = [row for row in named if word(row) == "FAILED"]
    head = {"workload": lambda row: f"tiny {row[0].split('/')[1]}", "arm": lambda row: row[1]}
    check(tables[f"Changes of {measure}"], head | columns, moved)
    for group in GROUPS:
        times = {
            "arm": lambda row: row[1],
            "old": lambda row: (Arm(old, *row).time_s,),
            "new": lambda row: (Arm(new, *row).time_s,),
        }
        title = f"tiny {group.split('/')[1]}: float32, kernel stock, change of {measure}"
        check(tables[title], times | columns, [row for row in named if row[0] == group])
    assert found.exit_code == bool(failed)
    judged = len(named) - 4
    said = "1 arm is" if len(failed) == 1 else f"{len(failed)} arms are"
    assert (f"FAILED: {said} slower by more than {fail_above:.1%} " in found.stdout) == bool(failed)
    assert f" of {judged} arms, " in found.stdout
    baselines = [change(two, group, "pure[jit]")[0][0] for group in GROUPS]
    moved_by_itself = any(ratio > 1 + fail_above for ratio in baselines)
    assert ("pure[jit] itself, " in found.stdout) == moved_by_itself
