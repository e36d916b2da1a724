"""What is said of two runs in sentences: whether anything changed, then what fails and what makes it doubtful."""

from dataclasses import replace

import msgspec
import pytest
from support.runs import EQUAL, GROUPS, draw_run, with_machine, with_provenance
from trigru.bench.analysis.diff import diff, judge_together
from trigru.bench.analysis.statistics import Comparison
from trigru.bench.reporting.diff import diff_tables
from trigru.bench.reporting.outcome import notes, outcome

WRONG = replace(EQUAL, error=1.0)

pytestmark = pytest.mark.usefixtures("quick_bootstrap")


def after_the_answer(found):
    """What stands below the answer; these runs are drawn with the mood of a machine, which moves the baseline."""
    return [line for line in outcome(found)[1:] if not line.startswith("pure[jit] itself")]


def test_the_first_sentence_answers_whether_anything_changed():
    old, again = (draw_run(seed, groups=GROUPS[:1]) for seed in (1, 2))

    def first(was, now, new=again, **options):
        return outcome(diff(with_provenance(old, equality=was), with_provenance(new, equality=now), **options))[0]

    reaches = [c.comparison.reach for c in diff(old, again).judged]
    none = "of 8 arms, none is faster or slower than before, relative to pure[jit]"
    still = f"{none}, beyond chance (intervals of ±{min(reaches):.1%} to ±{max(reaches):.1%})"
    assert (
        first([EQUAL], [EQUAL]) == f"No change of equality or speed found: linen is proven equal, as before; {still}."
    )
    assert first([WRONG], [WRONG]) == f"No change of equality or speed found: linen is not equal, as before; {still}."
    assert (
        first(None, [EQUAL])
        == f"No change of equality or speed found: no port has a proof of equality in both files; {still}."
    )
    lost = "linen fails sequence now, and did not before"
    assert first([EQUAL], [WRONG]) == f"Equality changed: {lost}; {still}."
    gained = first([WRONG, replace(EQUAL, port="nnx")], [EQUAL, replace(EQUAL, port="nnx")])
    assert gained.startswith("Equality changed: linen is proven equal now, and was not before; nnx is proven equal, as")
    moved = draw_run(2, {"equinox[filter_jit]": 1.3, "linen": 0.7}, groups=GROUPS[:1])
    ways = "of 8 arms, 1 is slower (equinox 1 of 2) and 1 is faster (linen 1 of 1)"
    assert first([EQUAL], [EQUAL], moved) == f"Speed changed: {ways}; linen is proven equal, as before."
    assert first([EQUAL], [WRONG], moved) == f"Equality and speed changed: {lost}; {ways}."


def test_versions_come_next_and_then_what_fails(old, again):
    assert after_the_answer(diff(old, again)) == ["Versions: the same in both files."]
    slow = draw_run(2, {"equinox[filter_jit]": 1.3})
    new = with_machine(slow, versions=slow.trigru.machine.versions | {"flax": "0.12"})
    assert after_the_answer(diff(old, new)) == [
        "Versions: flax 0.12, was not set.",
        "FAILED: 3 arms are slower by more than 5.0% (equinox 3 of 6). --fail-above accepts more.",
    ]
    accepted = diff(old, new, fail_above=0.5)
    assert after_the_answer(accepted)[1:] == ["No arm is slower by more than the 50.0% of --fail-above."]
    assert "FAILED" not in str([section.rows for section in diff_tables(accepted)])


def test_what_chance_may_show_is_told_apart_from_what_is_believed(old):
    found = diff(old, old)
    arms = [change for change in found.changes if change.role == "arm" and change.arm.port in ("linen", "equinox")]

    def said(*moved):
        """Each (verdict, ratio, chance); of 24 arms, one in 480 is believed."""
        changed = {
            arm.arm.id: replace(arm, verdict=way, comparison=Comparison(ratio, ratio, ratio), chance=chance)
            for arm, (way, ratio, chance) in zip(arms, moved, strict=False)
        }
        changes = judge_together([changed.get(c.arm.id, c) for c in found.changes], 0.05)
        answer, versions, *others = outcome(replace(found, changes=changes))
        assert versions.startswith("Versions: ")
        return answer.replace("no port has a proof of equality in both files", "-"), others

    reach = max(c.comparison.reach for c in found.judged if c is not arms[0])
    none = "none is faster or slower than before, relative to pure[jit], beyond chance"
    none += f" (intervals of ±0.0% to ±{reach:.1%})"  # that of an arm that moved has none here
    chance = "which may be chance"
    doubted = (
        "1 arm seems slower by more than 5.0% ({}), but not beyond chance among 24 arms: that alone is no reason to "
        "fail. Measure both in more processes, or fewer arms."
    )
    failed = "FAILED: 1 arm is slower by more than 5.0% (linen 1 of 3). --fail-above accepts more."
    allowed = "No arm is slower by more than the 5.0% of --fail-above."
    assert said(("faster", 0.8, 0.99)) == (
        f"No change of equality or speed found: -; of 24 arms, {none}; 1 seems to be (linen 1 of 3), {chance}.",
        [],
    )
    assert said(("slower", 1.2, 0.01)) == (
        f"No change of equality or speed found: -; of 24 arms, {none}; 1 seems to be (linen 1 of 3), {chance}.",
        [doubted.format("linen 1 of 3")],
    )
    assert said(("slower", 1.04, 0.01))[1] == [allowed]
    assert said(("slower", 1.04, 0.001)) == ("Speed changed: of 24 arms, 1 is slower (linen 1 of 3); -.", [allowed])
    assert said(("slower", 1.2, 0.001), ("slower", 1.4, 0.01), ("faster", 0.8, 0.99)) == (
        "Speed changed: of 24 arms, 1 is slower (linen 1 of 3); 2 seem to be (equinox 2 of 6), " + chance + "; -.",
        [failed, doubted.format("equinox 1 of 6")],
    )


def test_all_reasons_of_one_option_are_said(old, again):
    short = msgspec.structs.replace(with_provenance(again, complete=False), benchmarks=again.benchmarks[:-1])
    (said,) = (line for line in outcome(diff(old, short)) if "--anyway" in line)
    assert "the run of NEW was interrupted" in said
    assert "1 arm missing in NEW" in said


def test_what_differs_without_harm_is_noted_as_it_is_and_as_it_was(old, again):
    was = with_machine(old, commit="aaaaaaa")
    longer = msgspec.structs.replace(again.trigru.plan, sample_time_s=0.5)
    now = with_provenance(with_machine(again, commit="bbbbbbb"), plan=longer)
    assert notes(diff(was, now))[:2] == [
        "Commit of trigru: bbbbbbb, was aaaaaaa.",
        "Samples last at least 500 ms, were 100 µs.",
    ]
    assert not [note for note in notes(diff(was, was)) if "Commit" in note or "Samples" in note]
    proven, one = with_provenance(was, equality=[EQUAL]), draw_run(3, processes=1)
    for files, name in (((proven, was), "NEW"), ((was, proven), "OLD"), ((was, was), "OLD and NEW")):
        assert any(note.startswith(f"{name}: no proof of equality.") for note in notes(diff(*files)))
    for files, name in (((was, one), "NEW"), ((one, was), "OLD"), ((one, one), "OLD and NEW")):
        assert any(note.startswith(f"One process alone in {name}:") for note in notes(diff(*files)))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"load_before": 9.0}, "9.0 runnable processes on 16 threads in the minute before the run"),
        ({"load_after": 25.0}, "25.0 runnable processes on 16 threads at its end"),
    ],
)
def test_a_busy_machine_is_said_in_the_outcome(old, again, facts, said):
    busy = {"OLD": (with_provenance(old, **facts), again), "NEW": (old, with_provenance(again, **facts))}
    for name, files in busy.items():
        found = diff(*files)
        (doubt,) = after_the_answer(found)[1:]
        assert doubt.startswith(f"{name} may be too noisy to tell. The machine was busy")
        assert said in doubt
        assert found.exit_code == 0
