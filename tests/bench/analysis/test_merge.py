"""What comes of a run: the processes' samples, joined, as ratios, noise floors and
verdicts.
"""

from dataclasses import replace

import msgspec
import pytest
from support.processes import (
    ARMS,
    FORWARD,
    KILLED,
    PLAN,
    STARTED,
    STEP,
    FakeProcesses,
    facts_of,
    fill,
    ignore,
    journal_at,
    measured,
    samples_of,
)
from support.runs import BUILD, MACHINE, PROGRAM
from trigru.bench.analysis.merge import merge
from trigru.bench.reporting.naming import measured_on, provenance_lines
from trigru.bench.reporting.times import arm_tables
from trigru.bench.results.arm import NO_BASELINE, Untimed
from trigru.bench.results.run import Measured, Sample
from trigru.bench.timing.supervisor import run
from trigru.common.errors import TrigruError

PURE, AGAIN, LINEN = ARMS[:3]


@pytest.fixture
def journal(tmp_path):
    return journal_at(tmp_path / "run.journal")


def test_processes_are_joined_in_their_order_with_what_the_run_began_with(journal):
    run(journal, ignore, FakeProcesses().pool)
    found = merge(journal.run)
    again, facts = found.groups()[STEP][1], found.trigru
    for of in found.groups().values():
        for b in of:
            assert b.samples == sorted(samples_of(0, b.arm) + samples_of(1, b.arm))
            assert b.facts_by_process == {n: facts_of(n, b.arm) for n in (0, 1)}
    assert (again.steady, again.other_s) == ([True, False], [0.5, 1.5])
    assert again.facts.build == BUILD, "the first process's"
    journal.run.samples.reverse()
    journal.run.facts.reverse()
    again = merge(journal.run).groups()[STEP][1]
    assert again.processes == [0, 1], "whichever ended first"
    assert again.facts.build == BUILD
    assert (facts.plan, facts.begun.command, facts.machine) == (
        PLAN,
        ["trigru", "bench"],
        MACHINE,
    )
    assert (facts.begun.load, facts.complete) == (0.5, True)


def test_in_one_process_the_floor_reaches_as_far_as_the_interval(journal):
    fill(journal, ())
    whole = measured(0, ARMS[:3])
    noisy = [
        Sample(AGAIN.id, 0, number, "blocked", time_s)
        for number, time_s in enumerate([0.9, 1.0, 1.1, 1.2])
    ]
    others = [sample for sample in whole.samples if sample.arm != AGAIN.id]
    journal.add(Measured(others + noisy, whole.facts))
    again = merge(journal.run).benchmarks[1]
    reach = max(again.comparison.high, 1 / again.comparison.low) - 1
    assert again.floor == pytest.approx(reach)
    assert again.floor > 1.1 * (again.comparison.ratio - 1)


def test_a_group_that_nobody_came_to_has_nothing_to_say(journal):
    with pytest.raises(TrigruError, match="nothing was measured"):
        merge(journal.run)
    fill(journal, (STEP,))
    results = merge(journal.run)
    assert (list(results.groups()), results.untimed) == ([STEP], [])


def test_the_machine_of_a_run_without_a_process_is_unknown(
    journal,
):
    reasons = [Untimed(arm, "not proven equal") for arm in ARMS]
    journal.run.begun = msgspec.structs.replace(
        journal.run.begun, untimed=reasons, load=9.0, versions={"jax": "0.1"}
    )
    results = merge(journal.run)
    origin, *others = provenance_lines(results)
    assert origin.endswith(", unknown machine, since no process started: trigru bench")
    assert others == ["jax 0.1."], "and whether it was busy is not known"
    assert measured_on(results).startswith("unknown machine, 20")


@pytest.mark.parametrize("process", [0, 1])
def test_an_arm_that_fails_in_one_process_has_no_number_at_all(journal, process):
    run(
        journal,
        ignore,
        FakeProcesses(fails={(process, LINEN.id): "not equal to the oracle"}).pool,
    )
    results = merge(journal.run)
    assert [b.arm for b in results.groups()[STEP]] == [PURE, AGAIN]
    reason = (
        "in one process: not equal to the oracle"
        if process
        else "not equal to the oracle"
    )
    assert results.untimed == [Untimed(LINEN, reason)]


def test_an_arm_that_was_lost_just_before_the_run_was_stopped_says_that_others_timed_it(
    journal,
):
    fill(journal, (STEP,))
    journal.add(Untimed(LINEN, "killed"))
    assert merge(journal.run).untimed == [Untimed(LINEN, "in one process: killed")]


def test_an_arm_that_a_process_does_not_mention_has_no_number(journal):
    fill(journal, (STEP,))
    journal.add(STARTED)
    journal.add(measured(1, [PURE, AGAIN]))
    results = merge(journal.run)
    assert [b.arm for b in results.benchmarks] == [PURE, AGAIN]
    assert results.untimed == [Untimed(LINEN, "not measured in every process")]


@pytest.mark.parametrize("process", [0, 1])
@pytest.mark.parametrize("missing", [PURE, AGAIN], ids=lambda arm: arm.name)
@pytest.mark.parametrize("how", ["fails", "dies"])
def test_without_the_baseline_or_its_duplicate_nobody_has_a_number(
    journal, process, missing, how
):
    dies, fails = (
        {(process, f"compile {missing.id}"): KILLED},
        {(process, missing.id): "killed"},
    )
    processes = FakeProcesses(fails=fails)
    if how == "dies":
        processes = FakeProcesses(dies)
    run(journal, ignore, processes.pool)
    results = merge(journal.run)
    assert list(results.groups()) == [FORWARD]
    assert [untimed.arm for untimed in results.untimed] == ARMS[:3]
    for untimed in results.untimed:
        assert (
            ("killed" in untimed.reason)
            if untimed.arm == missing
            else (untimed.reason == NO_BASELINE)
        )


def test_what_was_tuned_in_each_process_is_kept_on_an_accelerator_alone(tmp_path):
    """Linen's processes, on a GPU here, were tuned in two ways; plain JAX's CPU tunes
    nothing.
    """
    journal = journal_at(tmp_path / "tuned.journal")
    for process in range(2):
        journal.add(STARTED)
        program = replace(PROGRAM, tuned=f"tuned {process}")
        for arms in journal.run.groups().values():
            whole = measured(process, arms)
            facts = []
            for arm, known in zip(arms, whole.facts, strict=True):
                backend = "gpu" if arm.port == "linen" else "cpu"
                facts.append(
                    msgspec.structs.replace(known, program=program, backend=backend)
                )
            journal.add(Measured(whole.samples, facts))
    notes = [
        note for note in arm_tables(merge(journal.run))[0].notes if "tuned" in note
    ]
    assert notes == [
        "linen[apply]: its processes were tuned in 2 ways, and its interval contains "
        "that."
    ]
