"""What is said of two runs: the outcome in sentences, and problems, proofs and changes in tables."""

from dataclasses import replace

import msgspec
import pytest
from support.cli import shown
from support.runs import (
    ARMS,
    EQUAL,
    GROUPS,
    draw_run,
    make_arm,
    make_benchmark,
    with_facts,
    with_machine,
    with_provenance,
)
from trigru.bench.analysis.diff import TOO_NOISY, diff
from trigru.bench.reporting.diff import MOST_ROWS, _number, check_comparable, diff_tables
from trigru.bench.reporting.numbers import format_time
from trigru.bench.reporting.outcome import outcome
from trigru.bench.results.arm import Untimed
from trigru.common.errors import TrigruError

HALF = replace(EQUAL, dtype="float32", error=0.5, bound=1.0)
WRONG = replace(EQUAL, error=1.0)

pytestmark = pytest.mark.usefixtures("quick_bootstrap")


def section(found, title):
    """The one table whose title begins like that."""
    (one,) = [s for s in diff_tables(found) if s.title.startswith(title)]
    return one


def notes(found):
    """What stands below the changes."""
    (one,) = [s for s in diff_tables(found) if s.title.startswith(("Changes of", "No change of"))]
    return one.notes


def noted(found, words):
    return [note for note in notes(found) if words in note]


# why files do not compare


def test_each_problem_is_a_sentence_that_fails_unless_it_is_accepted(old, again):
    """Each with what accepts it."""
    other = [b if b.arm.workload.name == "tiny" else with_facts(b, shape="B=9") for b in again.benchmarks]
    option = "--anyway"
    where = "NEW was measured on another machine or in another environment:"
    for new, sentence in (
        (with_provenance(again, complete=False), "NEW is of a run that was interrupted: not all was measured."),
        (msgspec.structs.replace(again, benchmarks=other),
         f"{GROUPS[2]}/float32/stock is other work, and not compared: B=9, 8 steps, baseline pure[jit], was "
         "B=1 T=50 D=20 H=512, 8 steps, baseline pure[jit]."),
        (with_machine(again, device="NVIDIA H100"), f"{where} device 'NVIDIA H100', was 'A CPU'."),
        (with_machine(again, threads=2), f"{where} threads 2, was 16."),
        (with_machine(again, xla_flags="--xla_a=1"), f"{where} xla_flags '--xla_a=1', was ''."),
        (with_facts(again, clock="pipelined"), f"{where} calls pipelined, were blocked."),
        (with_machine(again, environment={}), f"{where} OMP_NUM_THREADS not set, was 8."),
    ):  # fmt: skip
        found = diff(old, new)
        assert diff_tables(found)[0].title == "Where the files do not compare"
        assert diff_tables(found)[0].rows == [(sentence, "FAILED")]
        assert len(found.changes) == 30 - 10 * (f"{GROUPS[2]}/" in sentence)
        (said,) = [line for line in outcome(found) if line.startswith("FAILED: the files do not compare: ")]
        assert said.endswith(f" Measure alike, or accept it: {option}.")
        allowed = diff(old, new, allow_missing=True, allow_other_machine=True)
        assert section(allowed, "Where the files do not compare").rows == [(sentence, f"accepted by {option}")]
        assert not [line for line in outcome(allowed) if "FAILED" in line]
        assert [line for line in outcome(allowed) if line.startswith(f"Accepted by {option}: ")]
        assert [d.exit_code for d in (found, allowed)] == [2, 0]


def test_what_one_file_lacks_is_a_row_for_each_port_or_workload(old, again):
    gone = msgspec.structs.replace(make_arm("linen[apply]"), style=None)
    lost = msgspec.structs.replace(
        again,
        benchmarks=[b for b in again.benchmarks if b.arm.id != "tiny/forward/float32/stock/linen[apply]"],
        untimed=[Untimed(gone, "flax is not installed.")],
    )

    def rows(was, now, **allowed):
        found = diff(was, now, **allowed)
        return section(found, "Arms that are missing in one file").rows, found.exit_code

    of_linen = ("NEW", "all of linen", "tiny forward", "1", "flax is not installed")
    assert rows(old, lost) == ([of_linen], 2)
    assert rows(old, lost, allow_missing=True) == ([of_linen], 0)
    lost.untimed[0] = Untimed(make_arm("linen[apply]"), "killed.")  # of a style that is known
    assert rows(lost, old) == ([("OLD", "all of linen", "tiny forward", "1", "killed")], 2)
    whole = ("NEW", "all of question@hidden=512", "train_step", "10")
    assert rows(old, draw_run(2, groups=GROUPS[:2])) == ([whole], 2)
    few = draw_run(2, arms={name: ratio for name, ratio in ARMS.items() if name[:4] not in ("nnx[", "torc")})
    assert rows(few, old)[0] == [("OLD", "all of nnx", "everywhere", "12"), ("OLD", "all of torch", "everywhere", "3")]
    one = draw_run(
        2, arms={name: ratio for name, ratio in ARMS.items() if "partial" not in name and name != "nnx[leaves]"}
    )
    assert rows(old, one)[0] == [("NEW", "nnx[cached_partial], nnx[leaves]", "everywhere", "6")]
    assert "FAILED: the files do not compare: 6 arms missing in NEW. Measure alike, or accept it: --anyway." in outcome(
        diff(old, one)
    )
    accepted = diff(old, one, allow_missing=True)
    assert "Accepted by --anyway: 6 arms missing in NEW." in outcome(accepted)
    assert "FAILED" not in shown(s for s in diff_tables(accepted) if s.title.startswith("Arms that are missing"))
    assert len(section(accepted, "Each missing arm").rows) == 6


def test_files_without_anything_to_judge_are_refused(old):
    def refused(new, **options):
        check_comparable(diff(old, new, allow_missing=True, **options))

    with pytest.raises(TrigruError, match=r"no arm in common\. OLD has tiny/forward.*; NEW has medium/forward"):
        refused(draw_run(2, groups=("medium/forward",)))
    with pytest.raises(TrigruError, match=r"no arm in common\. tiny/forward/\S+ is other work, .*; tiny/train_step"):
        refused(with_facts(draw_run(2), shape="B=9"))
    alone = draw_run(2, arms={"pure[jit]": 1.0, "pure[jit]#2": 1.0})
    with pytest.raises(TrigruError, match=r"no arm in common but pure\[jit\], pure\[jit\]#2, whose ratio to itself"):
        refused(alone)
    refused(alone, absolute=True)
    old = with_provenance(old, equality=[EQUAL])
    refused(with_provenance(alone, equality=[EQUAL]))


# what was proven


def test_what_was_proven_stands_side_by_side_and_a_loss_comes_first_in_the_outcome(old, again):
    was = [EQUAL, HALF, *(replace(EQUAL, port=port) for port in ("nnx", "pure")), replace(WRONG, port="equinox")]
    now = [EQUAL, replace(WRONG, port="nnx"), replace(EQUAL, port="equinox"), replace(EQUAL, kernel="fused")]
    found = diff(with_provenance(old, equality=was), with_provenance(again, equality=now))
    one, failed = "1 measurement, error 2e-16", "1 of 1 measurement failed: sequence"
    assert section(found, "Equality with the NumPy oracle").rows == [
        ("linen", "2 measurements, error 2e-16, 50%", one, "equal, as before"),
        ("nnx", one, failed, "FAILED"),
        ("pure", one, "not asked", "asked in one file alone"),
        ("equinox", failed, one, "equal now"),
        ("linen:fused", "not asked", one, "asked in one file alone"),
    ]
    assert outcome(found)[0].startswith(
        "Equality changed: nnx fails sequence now, and did not before; equinox is proven"
    )
    assert "FAILED: checks that passed before fail now, of nnx." in outcome(found)
    still = diff(*(with_provenance(run, equality=[WRONG]) for run in (old, again)))
    assert section(still, "Equality").rows[0][-1] == "not equal, as before"


def test_a_file_without_a_proof_is_named(old, again):
    proven = with_provenance(again, equality=[EQUAL])
    for files, named in (((old, again), "OLD and NEW"), ((old, proven), "OLD"), ((proven, old), "NEW")):
        assert noted(diff(*files), f"{named}: no proof of equality")
    assert not noted(diff(proven, proven), "proof of equality")


# doubts


def with_floors(results, *floors):
    """The same file, but its groups have these noise floors."""
    of_group = {f"{group}/float32/stock": floor for group, floor in zip(GROUPS, floors, strict=True)}
    benchmarks = [with_facts(b, floor=of_group[b.group]) for b in results.benchmarks]
    return msgspec.structs.replace(results, benchmarks=benchmarks)


def test_above_a_floor_of_30_percent_it_is_too_noisy_to_tell(old, again):
    found = diff(with_floors(old, 0.31, 0.02, TOO_NOISY), again)
    doubt = "Too noisy to tell in tiny forward: noise floors of ±31%, above 30%. Measure again on an idle machine."
    assert doubt in outcome(found)
    assert outcome(found)[0].endswith("; 8 are too noisy to tell.")
    noisy = diff(with_floors(old, 0.4, 0.5, 0.6), again)
    assert outcome(noisy)[0].startswith("Too noisy to tell whether speed changed: of 24 arms, none is")
    assert outcome(noisy)[-1].startswith(
        "Too noisy to tell in tiny forward, tiny train_step, question@hidden=512 train_step: "
    )
    changes, _, *groups = diff_tables(found)
    assert changes.title == "No change of time / pure[jit] that shows above the noise"
    assert "Indistinguishable from before: 16 arms; --details lists them." in changes.notes
    assert "Too noisy to tell: 8 arms; --details lists them." in changes.notes
    words = [{row[5] for row in group.rows} - {"-", "A/A"} for group in groups]
    assert words == [{"too noisy to tell"}, {"indistinguishable"}, {"indistinguishable"}]


# what is only said


def test_what_differs_and_is_no_problem_is_said(old, again):
    versions = again.trigru.machine.versions | {"jax": "0.13.0", "flax": "0.12"}
    new = with_machine(again, versions=versions, commit="def-dirty")
    plan = msgspec.structs.replace(again.trigru.plan, sample_time_s=0.004)
    new = msgspec.structs.replace(with_provenance(new, plan=plan), datetime="2026-11-03T10:00:00+00:00")
    found = diff(old, new)
    assert found.problems == []
    assert outcome(found)[-2:] == [
        "Versions: flax 0.12, was not set; jax 0.13.0, was 0.12.0.",
        "NEW was measured before OLD (2026-11-03T10:00, 2026-11-04T10:00): are they swapped?",
    ]
    said = ("Commit of trigru: def-dirty, was abc.", "Samples last at least 4.00 ms, were 100 µs.")
    assert [note for note in notes(found) if note in said] == list(said)
    assert not {note.split()[0] for note in notes(diff(old, again))} & {"Commit", "Samples"}


def test_one_group_of_one_process_is_enough_to_say_so(old, again):
    begun = [b for b in draw_run(2, processes=1).benchmarks if b.group.startswith(GROUPS[2])]
    whole = [b for b in again.benchmarks if not b.group.startswith(GROUPS[2])]
    assert noted(diff(old, msgspec.structs.replace(again, benchmarks=[*whole, *begun])), "One process alone in NEW: ")
    assert not noted(diff(old, again), "One process")


def test_the_baselines_own_change_is_said():
    calm = {"noise": 0.001, "luck": 0.001, "mood": 0.0}
    found = diff(draw_run(1, **calm), draw_run(2, {"all": 1.23}, **calm))
    (note,) = [line for line in outcome(found) if line.startswith("pure[jit] itself")]
    assert "took 1.2" in note
    assert note.endswith(
        "times as long in tiny forward, tiny train_step, question@hidden=512 train_step; that is jax, or the machine."
    )
    assert found.exit_code == 0
    for factor, is_noted in ((1.02, False), (0.9, True)):
        less = diff(draw_run(1, **calm), draw_run(2, {"all": factor}, **calm))
        assert any(line.startswith("pure[jit] itself") for line in outcome(less)) == is_noted
    rows = section(found, "pure[jit] itself").rows
    assert [row[0] for row in rows] == ["tiny forward", "tiny train_step", "question@hidden=512 train_step"]
    times_s = [(c.old_time_s, c.new_time_s) for c in found.changes if c.role == "baseline"]
    assert [row[1:3] for row in rows] == [(format_time(old_s), format_time(new_s)) for old_s, new_s in times_s]


def test_where_most_arms_moved_alike_the_baseline_is_suspected(old):
    found = diff(old, draw_run(2, {"pure[jit]": 0.7, "pure[jit]#2": 0.7}))
    (note,) = noted(found, "24 of 24 arms are slower. pure[jit], now ")
    assert note.startswith("In tiny forward, tiny train_step, question@hidden=512 train_step, 24 of 24")
    assert note.endswith("times its old time, may be what changed.")
    assert not noted(diff(old, draw_run(2, {"nnx": 1.3})), "may be what changed"), "four of eight are no majority"
    absolute = diff(draw_run(1, mood=0.0), draw_run(2, {"all": 1.3}, mood=0.0), absolute=True)
    assert noted(absolute, "27 of 27 arms are slower. Jax, or the machine, may be what changed")
    assert diff_tables(absolute)[0].title == "Changes of time"


def test_a_duplicate_that_moved_says_that_the_noise_is_large(old):
    found = diff(with_facts(old, floor=0.01), with_facts(draw_run(2, {"pure[jit]#2": 1.5}), floor=0.01))
    assert len(noted(found, "pure[jit]#2 (A/A) is slower by the same measure")) == 1
    assert [row[4] for row in section(found, "Changes").rows] == ["A/A"] * 3
    assert found.exit_code == 0


# tables


def test_changes_come_first_and_the_rest_is_counted_and_in_details(old):
    found = diff(old, draw_run(2, {"equinox[filter_jit]": 1.3, "linen": 0.7}))
    changes, *details = diff_tables(found)
    assert "Indistinguishable from before: 18 arms; --details lists them." in changes.notes
    assert [section.detail for section in details] == [True] * 4
    assert "indistinguishable" not in shown(section for section in diff_tables(found) if not section.detail)


def test_many_changes_make_few_rows_and_the_rest_is_in_details(old):
    found = diff(old, draw_run(2, {"nnx": 1.3, "equinox": 0.7}))
    rows = section(found, "Changes").rows
    assert len(rows) == 6 <= MOST_ROWS < sum(change.moved for change in found.changes)
    assert {row[0] for row in rows} == {"3 of 3"}
    assert [row[1].partition("[")[0] for row in rows] == ["nnx"] * 4 + ["equinox"] * 2
    assert [row[4] for row in rows] == ["FAILED"] * 4 + ["faster"] * 2
    nnx = [c.comparison.ratio for c in found.changes if c.arm.name == rows[0][1]]
    assert rows[0][2] == f"{min(nnx):.3f} to {max(nnx):.3f}"
    assert noted(found, "A row that counts arms puts those of one name, or of one port, together")
    everything = shown(diff_tables(found))
    assert sum(line.rstrip().endswith("FAILED") for line in everything.splitlines()) == 4 + 12


def test_a_ratio_has_the_digits_that_fit():
    ratios = {0.5: "0.500", 9.99: "9.990", 10.04: "10.0", 999.0: "999.0", 12345.0: "1e+04"}
    assert list(map(_number, ratios)) == list(ratios.values())


@pytest.mark.parametrize("ratio", [1.3, 9.999, 123.4])
def test_tables_fit_100_columns_with_the_longest_names(old, ratio):
    old = with_provenance(old, equality=[EQUAL, HALF, replace(EQUAL, kernel="fused")])
    new = with_machine(draw_run(2, {"nnx": ratio, "equinox": ratio}), device="NVIDIA " * 20)
    found = diff(old, with_provenance(new, equality=[WRONG, HALF, replace(HALF, kernel="fused")]))
    text = shown(diff_tables(found))
    for whole in ("question@hidden=512 train_step", "nnx[cached_partial]", "equinox[filter_jit]", "indistinguishable"):
        assert whole in text
    assert all(f"±{change.floor:.1%}" in text for change in found.changes if change.moved)


def test_a_duplicate_whose_own_time_changed_is_no_sign_of_noise():
    found = diff(draw_run(1, mood=0.0), draw_run(2, {"all": 1.3}, mood=0.0), absolute=True)
    assert {change.verdict for change in found.changes if change.role == "A/A"} == {"slower"}
    assert not noted(found, "(A/A)")


def test_a_whole_group_that_is_missing_is_told_with_its_kernels(old):
    fused = [
        make_benchmark(make_arm(name, division="fused"), [1e-5] * 55) for name in ("pure[jit]", "nnx[leaves]:fused")
    ]
    more = msgspec.structs.replace(old, benchmarks=[*old.benchmarks, *fused])
    (row,) = section(diff(more, old), "Arms that are missing in one file").rows
    assert row == ("NEW", "all of tiny", "forward fused", "2")
