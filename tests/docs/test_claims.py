"""What the pages of claims and of a program are generated from."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from trigru.bench.studies.parameters import FRAMEWORKS, name_of
from trigru.bench.studies.program.comparison import AGENTS, BOUND
from trigru.bench.studies.record import DUPLICATE, SCHEMA, Shown, StudyRecord, save_study
from trigru.bench.timing.machine import describe_machine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def generators(monkeypatch):
    """The modules beside the script that writes the docs."""
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    import claims
    import program

    return claims, program


def a_record(study, arms, settings):
    """Of arms of which each takes a tenth longer than the one before."""
    machine_s = np.random.default_rng(0).lognormal(-6, 0.3, 16)
    times_s = {arm: (1.1**number * machine_s).tolist() for number, arm in enumerate(arms)}
    first, *rest = times_s
    times_s = {first: times_s[first], DUPLICATE: times_s[first], **{arm: times_s[arm] for arm in rest}}
    shown = [Shown("logits of linen", 2e-15, BOUND), Shown("embedding of linen", 3e-14, 1e-6)]
    curves = {"mean return": [10.0, 20.5], "episodes": [3, 4]}
    return StudyRecord(
        SCHEMA, study, "2026-01-01T00:00:00+00:00", ["python"], describe_machine(), False, 0.0, 0.0, settings, shown,
        curves, [number // 2 for number in range(16)], times_s,
    )  # fmt: skip


@pytest.fixture
def program_record():
    settings = {"environment": "CartPole-v1", "environments": 4, "steps": 8, "epochs": 2, "minibatches": 2}
    return a_record("program", AGENTS, {**settings, "hidden": 8, "updates": 2})


def test_before_a_study_is_measured_its_parts_say_so(generators, tmp_path):
    claims, program = generators
    for part in (program.times, program.equal, claims.update, claims.parameters):
        assert part(tmp_path).startswith("Not measured yet: `python -m trigru.bench.studies ")
    assert program.finding(tmp_path) == ""


def test_what_is_said_of_a_program(generators, tmp_path, program_record):
    claims, program = generators
    save_study(tmp_path / "program.json", program_record)
    assert "| 1.100 [1.100, 1.100] |" in program.times(tmp_path).replace("\u00a0", " ")
    assert "7 episodes, with a mean return from 10.0 in the first update to 20.5 in the last" in program.equal(tmp_path)
    assert "within 2e-15 of each other" in program.equal(tmp_path)
    said = program.finding(tmp_path).replace("\u00a0", " ")
    assert (
        "With the stock cell, an update takes 1.100 [1.100, 1.100] times as long; with the fused kernel, 1.210" in said
    )
    assert "1.210 [1.210, 1.210]" in claims.update(tmp_path).replace("\u00a0", " ")  # the fourth over the second


def test_what_cannot_be_told_apart_is_called_so(generators, tmp_path, program_record):
    _, program = generators
    times_s = {**program_record.time_s, "linen": program_record.time_s[DUPLICATE]}
    save_study(tmp_path / "program.json", msgspec.structs.replace(program_record, time_s=times_s, load_before=9.0))
    said = program.finding(tmp_path).replace("\u00a0", " ")
    assert "With the stock cell, an update takes indistinguishably long (1.000 [1.000, 1.000]); with" in said
    assert "| (1.000 [1.000, 1.000]) |" in program.times(tmp_path).replace("\u00a0", " ")
    assert "The machine was busy: 9.0 runnable processes" in program.times(tmp_path)


def test_what_is_said_of_parameters(generators, tmp_path):
    claims, _ = generators
    arms = [name_of(program, drawn_by) for program in FRAMEWORKS for drawn_by in FRAMEWORKS]
    save_study(tmp_path / "claims.json", a_record("parameters", arms, {"workload": "question"}))
    rows = [row.split(" | ")[-1] for row in claims.parameters(tmp_path).replace("\u00a0", " ").splitlines()[2:6]]
    assert [row.split()[0] for row in rows] == ["1.100", "1.100", "1.210", "1.210"]


def test_a_short_run_is_not_published(generators, tmp_path, program_record):
    _, program = generators
    save_study(tmp_path / "program.json", msgspec.structs.replace(program_record, short=True))
    with pytest.raises(SystemExit, match="program.json is of a short run: not to be published"):
        program.times(tmp_path)


def test_the_difference_is_of_the_gru_alone(generators):
    _, program = generators
    gone = [line[1:].strip() for line in program._diff() if line.startswith("-")]
    come = [line[1:].strip() for line in program._diff() if line.startswith("+")]
    assert any("nn.GRUCell(" in line for line in gone)
    assert "from trigru.impls.linen import GRU" in come
    assert program.lines() == f"{len(gone)} lines go and {len(come)} come:"
    assert len(gone) + len(come) == program._changed()
