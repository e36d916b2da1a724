"""The page, the tables and the pictures of trainings: each number at its place, under its name."""

import msgspec
import numpy as np
import pytest
from support.runs import MACHINE
from trigru.bench.reporting.plots.figures import GREY
from trigru.bench.training.experiments import get_experiment
from trigru.bench.training.fit import PATIENCE
from trigru.bench.training.pages import pictures_of, training_tables, write_training
from trigru.bench.training.plots import OF_LOSS, OF_START, curves_picture, gains_picture, vanishing_picture
from trigru.bench.training.record import SCHEMA, TrainingRecord
from trigru.bench.training.study import STARTS, Agreement, Run, gain
from trigru.bench.training.tables import agreement_table, gain_table, vanishing_table
from trigru.bench.training.vanishing import LOSSES, Norm, Vanishing

NAMES, FRAMEWORKS = ("vowels", "sunspots-8"), ("linen", "nnx")
#: By experiment, framework and start: the test scores of four seeds.
SPREAD = np.array([0.0, 0.011, 0.024, 0.033])
SCORES = {
    (name, framework, start.name): 0.5 + 0.1 * n + 0.02 * f + 0.2 * s * (1 - 2 * n) * (1 + SPREAD) * (s < 2 or f == 0)
    for n, name in enumerate(NAMES)
    for f, framework in enumerate(FRAMEWORKS)
    for s, start in enumerate(STARTS)
}


def runs():
    found = []
    for number, ((name, framework, start), scores) in enumerate(SCORES.items()):
        for seed, score in enumerate(scores + SPREAD[[1, 0, 3, 2]] * 0.1):
            loss = [4.0 + number + seed, 3.0 + number, 2.0 + number + seed / 8]
            norm = 0.0 if start == "zero" else 1.0
            found.append(Run(name, framework, start, seed, loss, loss, 2, True, 1.0, float(score), norm))
    return found


def test_a_gain_is_drawn_at_its_line_in_the_colour_of_its_start():
    found = runs()
    picture = gains_picture(found)
    said = []
    for axes, name in zip(picture.figure.axes, NAMES, strict=True):
        lines = [(start, framework) for start in STARTS[1:] for framework in FRAMEWORKS]
        assert axes.get_title(loc="left") == name
        assert axes.get_xlabel() == f"better by: {get_experiment(name).score_name}"
        assert [label.get_text() for label in axes.get_yticklabels()] == [f"{s.summary}, {f}" for s, f in lines]
        gains = {
            y: (
                gain([r for r in found if (r.experiment, r.framework) == (name, framework)], start.name),
                start,
                framework,
            )
            for y, (start, framework) in enumerate(lines)
        }
        told = {y: some for y, some in gains.items() if np.isfinite(some[0].low)}
        assert list(told) == [0, 1, 2], "the last has no spread"
        for (y, (of, start, framework)), drawn in zip(told.items(), axes.containers, strict=True):
            point, _, (whisker,) = drawn
            assert (list(point.get_xdata()), list(point.get_ydata())) == ([of.mean], [y])
            np.testing.assert_allclose(whisker.get_segments()[0][:, 0], [of.low, of.high])
            assert point.get_color() == (GREY if of.verdict == "indistinguishable" else OF_START[start.name])
            assert point.get_marker() == "os"[FRAMEWORKS.index(framework)]
            said.append(f"{name}, {start.summary}, {framework} {of.mean:+.4f} [{of.low:+.4f}, {of.high:+.4f}]")
    assert picture.description.endswith(f": {'; '.join(said)}.")
    assert len({point.get_color() for axes in picture.figure.axes for point, *_ in axes.containers}) > 1


def test_a_curve_is_the_median_of_its_framework_and_start_under_its_name():
    picture = curves_picture(runs())
    for axes, name in zip(picture.figure.axes, NAMES, strict=True):
        assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (name, "epoch", "validation loss")
        drawn = {line.get_label(): line for line in axes.get_lines()}
        assert len(drawn) == len(STARTS) * len(FRAMEWORKS)
        for start in STARTS:
            for framework, dash in zip(FRAMEWORKS, ("-", "--"), strict=True):
                line = drawn[f"{start.summary} ({framework})"]
                here = [r.validation_loss for r in runs()
                        if (r.experiment, r.framework, r.start) == (name, framework, start.name)]  # fmt: skip
                np.testing.assert_allclose(line.get_ydata(), np.median(here, axis=0))
                assert (line.get_color(), line.get_linestyle()) == (OF_START[start.name], dash)
        assert len(axes.collections) == len(STARTS), "quartiles of the first framework alone"
    assert "of vowels, sunspots-8, from initial states fixed at zero, learned, 10 × the rate: medians over 4 seeds" in (
        picture.description
    )


def norms(frameworks=("linen",), share=0.0):
    return Vanishing([
        Norm(f, o.name, t, seed, *(size * (1 + share * n) * 2.0 ** -(k + seed) for size in (8.0 / t, 9.0, 4.0 * t)))
        for n, f in enumerate(frameworks) for k, o in enumerate(LOSSES) for t in (1, 8) for seed in range(3)
    ])  # fmt: skip


def test_a_norm_is_drawn_at_its_length_for_each_loss():
    found = norms()
    picture = vanishing_picture(found)
    (axes,) = picture.figure.axes
    drawn = {line.get_label(): line for line in axes.get_lines()}
    for objective in LOSSES:
        for field, what in (("gradient", "gradient"), ("update", "× T, the rate scaled by length")):
            line = drawn.pop(f"loss of {objective.summary}: {what}")
            lengths, values = found.of(objective.name, field)
            assert list(line.get_xdata()) == lengths == [1, 8]
            np.testing.assert_array_equal(line.get_ydata(), np.median(values, axis=1))
            assert line.get_color() == OF_LOSS[objective.name]
    assert drawn == {}
    assert picture.description == (
        "Norm of the gradient to the initial state, from 1 to 8 steps: 4 to 0.5 with the loss of the last step alone; "
        "2 to 0.25 with the loss of the mean over all steps."
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (norms(), "One framework alone."),
        (norms(FRAMEWORKS), "The frameworks agree in all six digits that the file has."),
        (norms(FRAMEWORKS, 1e-5), "The frameworks differ by at most 1e-05 of a norm."),
    ],
)
def test_how_far_frameworks_are_apart_is_said(found, said):
    assert vanishing_table(found).notes[0].endswith(said)


def test_agreement_is_told_by_its_steps_its_ends_and_the_difference_from_the_first():
    curves = [
        Agreement(name, framework, [size, 1.0, size / 2 + share])
        for name, size in (("vowels", 2.0), ("sunspots-8", 4.0))
        for framework, share in (("pure", 0.0), ("linen", 4e-9))
    ]
    assert agreement_table(curves).rows == [
        ("vowels", "pure", "3", "2.000000", "1.000000", "0.0e+00"),
        ("vowels", "linen", "3", "2.000000", "1.000000", "2.0e-09 FAILED"),
        ("sunspots-8", "pure", "3", "4.000000", "2.000000", "0.0e+00"),
        ("sunspots-8", "linen", "3", "4.000000", "2.000000", "1.0e-09"),
    ]


def test_a_row_of_gains_is_of_its_experiment_framework_and_start():
    found = runs()
    found[0] = msgspec.structs.replace(found[0], capped=False)
    table = gain_table(found, complete=False)
    expected = []
    for name in NAMES:
        for framework in FRAMEWORKS:
            here = [r for r in found if (r.experiment, r.framework) == (name, framework)]
            for start in STARTS:
                mean = np.mean([r.test_score for r in here if r.start == start.name])
                of = gain(here, start.name)
                by = f"{of.mean:+.4f} [{of.low:+.4f}, {of.high:+.4f}]", of.verdict
                by = ("", "") if start is STARTS[0] else by if np.isfinite(of.low) else ("+0.0000", "no spread")
                expected.append((name, framework, start.summary, f"{mean:.3f}", *by))
    assert table.rows == expected
    assert {row[-1] for row in table.rows} >= {"better", "no spread"}
    assert table.title.endswith(": INTERRUPTED, not all was trained")
    assert table.notes[0].startswith("Test: the mean over 4 seeds, ")
    assert f"{PATIENCE} epochs after it. {len(found) - 1} of {len(found)} trainings ended before" in table.notes[0]
    assert [note.partition(":")[0] for note in table.notes[-2:]] == list(NAMES)
    assert gain_table(found).title == "Learned against fixed initial state"


def record(found=(), curves=(), vanishing=None, **facts):
    date = "2026-01-01T00:00:00+00:00"
    return TrainingRecord(
        SCHEMA, date, ["trigru", "train"], MACHINE, facts.get("quick", False), facts.get("complete", True),
        list(found), list(curves), vanishing,
    )  # fmt: skip


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("complete", [True, False])
def test_a_page_says_whether_it_is_of_all_and_shows_what_was_trained(tmp_path, quick, complete):
    whole = record(runs(), quick=quick, complete=complete)
    written = write_training(tmp_path, whole)
    assert [path.name for path in written] == [
        "training.html", "gains.png", "gains.svg", "learning_curves.png", "learning_curves.svg",
    ]  # fmt: skip
    text = written[0].read_text()
    assert ("INTERRUPTED: not all was trained." in text) is not complete
    assert ("A first look: " in text) is quick
    assert "training with a learned initial state" in text
    first = record([run for run in runs() if run.seed == 0])
    assert [path.name for path in write_training(tmp_path, first)][1:] == ["learning_curves.png", "learning_curves.svg"]
    assert not list(tmp_path.glob("gains.*")), "of an earlier run"


def test_a_page_of_gradients_leaves_those_of_trainings(tmp_path):
    (tmp_path / "gains.png").touch()
    written = write_training(tmp_path, record(vanishing=norms()))
    assert [path.name for path in written] == ["vanishing.html", "vanishing.png", "vanishing.svg"]
    assert "the gradient of the initial state" in written[0].read_text()
    assert (tmp_path / "gains.png").exists()


def test_a_record_has_a_table_and_a_picture_of_each_part_that_it_has():
    curves = [Agreement(name, f, [1.0]) for name in NAMES for f in ("pure", *FRAMEWORKS)]
    whole = record(runs(), curves, norms(), complete=True)
    titles = ["Learned against fixed", "One epoch in float64", "Gradient that reaches"]
    assert [section.title[:20] for section in training_tables(whole)] == [title[:20] for title in titles]
    assert [picture.name for picture in pictures_of(whole)] == ["gains", "learning_curves", "vanishing"]
    assert (training_tables(record()), pictures_of(record())) == ([], [])
