"""What comes of a run: the processes' samples, joined, as ratios, noise floors and verdicts."""

import msgspec
import numpy as np
import pytest
from support.processes import (
    ARMS,
    FORWARD,
    KILLED,
    PLAN,
    STARTED,
    STEP,
    FakeProcesses,
    fill,
    ignore,
    journal_at,
    samples,
    timed,
)
from support.runs import BUILD, ENDED, MACHINE, PROGRAM, PROOF
from trigru.bench.analysis.merge import load, merge
from trigru.bench.reporting.times import timing_tables
from trigru.bench.results.arm import Untimed
from trigru.bench.results.files import save
from trigru.bench.results.run import Ceilings, Ended, GroupTimed
from trigru.bench.timing.supervisor import run
from trigru.bench.timing.worker import NO_BASELINE
from trigru.common.equality.verification import Measurement
from trigru.common.errors import TrigruError

PURE, AGAIN, LINEN = ARMS[:3]


@pytest.fixture
def journal(tmp_path):
    return journal_at(tmp_path / "run.journal")


def test_processes_are_joined_in_their_order_with_what_the_run_began_with(journal):
    run(journal, ignore, FakeProcesses())
    found = merge(journal)
    again, facts = found.groups()[STEP][1], found.trigru
    assert again.timed == {process: timed(process, AGAIN, 1) for process in (0, 1)}
    assert (again.steady, again.other_s, again.other_process) == ([True, False], [0.5, 1.5], [0, 1])
    assert again.facts.build == BUILD, "the first process's"
    assert (facts.plan, facts.command, facts.machine) == (PLAN, ["trigru", "bench"], MACHINE)
    assert (facts.load_before, facts.complete) == (0.5, True)
    assert facts.ceilings == [{"float32": Ceilings(100.0, 10.0)}] * 2
    for group in found.groups().values():
        times_s = [[samples(process, b.arm) for process in (0, 1)] for b in group]
        for b, of_arm in zip(group, times_s, strict=True):
            log_ratio = np.median(np.log(of_arm) - np.log(times_s[0]), axis=1).mean()
            assert b.ratio == pytest.approx(np.exp(log_ratio), rel=2e-3)
            assert b.ratio_low <= b.ratio <= b.ratio_high


def test_what_was_proven_survives_the_journal_a_resumption_and_the_file(tmp_path):
    missing = Measurement("nnx", "styles", "pytree", "loss", "float32", None, 1e-6, "not offered: none", "fused")
    proven = [*PROOF[:6], missing]
    first = journal_at(tmp_path / "run", equality=proven)
    for process in range(2):
        fill(first, process=process)
    whole = journal_at(tmp_path / "run", resume=True)
    whole.ended = Ended(ENDED, 0.5)
    save(whole, merge(whole), tmp_path / "results.json")
    assert load(tmp_path / "results.json") == merge(whole)
    assert merge(whole).trigru.equality == proven


def test_in_one_process_the_floor_reaches_as_far_as_the_interval(journal):
    noisy = msgspec.structs.replace(timed(0, AGAIN), time_s=[0.9, 1.0, 1.1, 1.2])
    fill(journal, ())
    journal.add(GroupTimed(STEP, 0, [timed(0, PURE), noisy, timed(0, LINEN)]))
    again = merge(journal).benchmarks[1]
    assert again.floor == pytest.approx(max(again.ratio_high, 1 / again.ratio_low) - 1)
    assert again.floor > 1.1 * (again.ratio - 1)


def test_a_group_that_nobody_came_to_has_nothing_to_say(journal):
    with pytest.raises(TrigruError, match="nothing was measured"):
        merge(journal)
    fill(journal, (STEP,))
    results = merge(journal)
    assert (list(results.groups()), results.untimed) == ([STEP], [])


@pytest.mark.parametrize("process", [0, 1])
def test_an_arm_that_fails_in_one_process_has_no_number_at_all(journal, process):
    run(journal, ignore, FakeProcesses(fails={(process, LINEN.id): "not equal to the oracle"}))
    results = merge(journal)
    assert [b.arm for b in results.groups()[STEP]] == [PURE, AGAIN]
    assert results.untimed == [Untimed(LINEN, "not equal to the oracle")]


def test_an_arm_that_a_process_does_not_mention_has_no_number(journal):
    fill(journal, (STEP,))
    journal.add(STARTED)
    journal.add(GroupTimed(STEP, 1, [timed(1, arm) for arm in (PURE, AGAIN)]))
    results = merge(journal)
    assert [b.arm for b in results.benchmarks] == [PURE, AGAIN]
    assert results.untimed == [Untimed(LINEN, "not measured in every process")]


@pytest.mark.parametrize("process", [0, 1])
@pytest.mark.parametrize("missing", [PURE, AGAIN], ids=lambda arm: arm.name)
@pytest.mark.parametrize("how", ["fails", "dies"])
def test_without_the_baseline_or_its_duplicate_nobody_has_a_number(journal, process, missing, how):
    dies, fails = {(process, f"compile {missing.id}"): KILLED}, {(process, missing.id): "killed"}
    run(journal, ignore, FakeProcesses(dies) if how == "dies" else FakeProcesses(fails=fails))
    results = merge(journal)
    assert list(results.groups()) == [FORWARD]
    assert [untimed.arm for untimed in results.untimed] == ARMS[:3]
    for untimed in results.untimed:
        assert ("killed" in untimed.reason) if untimed.arm == missing else (untimed.reason == NO_BASELINE)


def test_what_was_tuned_in_each_process_is_kept_on_an_accelerator_alone(tmp_path):
    """Linen's processes, on a GPU here, were tuned in two ways; plain JAX's CPU tunes nothing."""
    journal = journal_at(tmp_path / "tuned.journal")
    for process in range(2):
        journal.add(STARTED)
        for group in (STEP, FORWARD):
            program, backends = (
                msgspec.structs.replace(PROGRAM, tuned=f"tuned {process}"),
                {"linen": "gpu", "pure": "cpu"},
            )
            lines = [
                msgspec.structs.replace(timed(process, arm), program=program, backend=backends[arm.port])
                for arm in journal.groups()[group]
            ]
            journal.add(GroupTimed(group, process, lines))
    notes = [note for note in timing_tables(merge(journal))[0].notes if "tuned" in note]
    assert notes == ["linen[apply]: its processes were tuned in 2 ways, and its interval contains that."]
