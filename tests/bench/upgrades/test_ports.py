"""The facts of a port: the same each time, others where one thing changed, and problems where a process dies."""

from copy import copy
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.snapshots import snapshot_of
from trigru.bench.commands import snapshot
from trigru.bench.processes.child import ChildDiedError
from trigru.bench.proving.messages import PortId, QuestionId
from trigru.bench.proving.prover import Proven, Prover
from trigru.bench.upgrades import ports
from trigru.bench.upgrades.changes import changes
from trigru.bench.upgrades.functions import look_at
from trigru.bench.upgrades.ports import look_at_port, unread
from trigru.bench.upgrades.record import CONTENT, Kept, Subject
from trigru.bench.upgrades.worker import answer_request
from trigru.common.errors import NotOfferedError
from trigru.impls import get_port


def changed(port, **members):
    other = copy(port)
    for name, value in members.items():
        setattr(other, name, value)
    return other


def look(port, *beginnings):
    """A snapshot of the rows of a port with these beginnings alone, and its arrays."""
    subject, kept = Subject(port.name, port.name), Kept()
    look_at(
        subject,
        kept,
        {
            name: row
            for name, row in ports._rows(port, whole=True)
            if name.startswith(beginnings)
        },
    )
    return snapshot_of(subject), kept


def saved(port):
    subject, kept = Subject(port.name, port.name), Kept()
    ports._save(port.layout, subject, kept)
    return snapshot_of(subject), kept


@pytest.fixture
def pure():
    """Plain JAX in one call style, so that little is compiled."""
    port = get_port("pure")
    return changed(port, call_styles=port.call_styles[:1])


def test_another_function_is_told_by_the_line_that_computes_it(pure):
    def apply(model, x, carry=None, **options):
        carry, outputs = pure.apply(model, x, carry, **options)
        return carry, jnp.sin(outputs)

    found = changes(look(pure, "forward"), look(changed(pure, apply=apply), "forward"))
    (line,) = {
        change.line.partition("; before: ")[0]
        for change in found
        if change.kind == "function"
    }
    assert "test_ports.py" in line
    assert "(sin of shape 3x7x6)" in line
    assert "trigru/common/port/task.py" not in line


def test_every_port_traces_and_draws_others_from_other_random_bits(port):
    old, before = (
        look(port, "gru", "classifier", "forward", "step"),
        jax.config.jax_threefry_partitionable,
    )
    (subject,) = old[0].subjects
    assert subject.problems == {}
    assert (subject.draws.keys(), subject.trails.keys()) == (
        {"gru", "classifier"},
        {"forward", "step"},
    )
    try:
        jax.config.update("jax_threefry_partitionable", not before)
        found = changes(old, look(port, "gru"))
    finally:
        jax.config.update("jax_threefry_partitionable", before)
    assert "draws" in {change.kind for change in found}


def fail(*_, **__):
    raise RuntimeError("gone\nin this release")


def test_an_exception_in_one_style_breaks_that_style_alone():
    port = get_port("pure")
    first, second, *_ = port.call_styles
    old = look(changed(port, call_styles=(first, second)), "forward", "train_step")
    (found,) = changes(
        old,
        look(
            changed(port, call_styles=(first, replace(second, build=fail))),
            "forward",
            "train_",
        ),
    )
    assert (found.kind, found.what) == (
        "broken",
        f"forward {second.name} float32 and 1 more call",
    )
    assert found.new.startswith("RuntimeError in ")
    assert found.new.endswith(": gone")


def test_a_parameter_of_another_name_takes_the_values_of_one_of_its_shape():
    loaded = {"b": np.ones(3), "old": np.ones(2)}
    drawn = {"b": np.zeros(3), "more": np.zeros(4), "new": np.zeros(2)}
    found = ports._loaded(
        changed(get_port("pure"), load=lambda *_: loaded, make=lambda *_: drawn)
    )
    assert {name: array[0] for name, array in found.items()} == {
        "b": 1,
        "more": 0,
        "new": 1,
    }


def test_what_is_not_offered_is_no_problem_and_what_fails_is_one_of_its_own(pure):
    def make(config, key):
        if config.classes:
            raise NotOfferedError("a classifier")
        return fail()

    subject = Subject("pure", "pure")
    look_at_port(changed(pure, make=make, load=fail), subject, Kept())
    assert {what.split()[0] for what in subject.problems} == {
        "gru",
        "forward",
        "gradient",
        "train_step",
        "step",
    }


@pytest.mark.parametrize(
    ("name", "suffixes"),
    [("linen", {".safetensors", ".msgpack"}), ("equinox", {".safetensors", ".eqx"})],
)
def test_files_of_each_format_without_pickle_are_kept_and_read_again(name, suffixes):
    snapshot, arrays = saved(get_port(name))
    (subject,) = snapshot.subjects
    assert subject.problems == {}
    assert subject.checkpoints.keys() == suffixes
    assert list(unread((snapshot, arrays))) == []
    for suffix, names in subject.checkpoints.items():
        damaged = arrays | {names[CONTENT]: arrays[names[CONTENT]][:-9]}
        (found,) = unread((snapshot, damaged))
        assert (found.kind, found.subject, found.what) == (
            "checkpoints",
            name,
            f"reading a file as {suffix}",
        )
        other = snapshot_of(
            Subject(
                name,
                name,
                checkpoints={suffix: names | {"readout_bias": names["bias_n"]}},
            )
        )
        (found,) = unread((other, arrays))
        assert found.new == "other bits in readout_bias"


def test_a_pickle_is_not_read(monkeypatch):
    snapshot, arrays = saved(get_port("linen"))
    (subject,) = snapshot.subjects
    subject.checkpoints = {
        ".pt": subject.checkpoints[".msgpack"],
        "/../x": subject.checkpoints[".msgpack"],
    }
    monkeypatch.setattr(ports.checkpoints, "read", None)
    assert list(unread((snapshot, arrays))) == []


def test_what_a_process_had_not_told_when_it_died_is_a_problem(monkeypatch, tmp_path):
    def answers_of(*_):
        yield Subject("pure", "pure"), b""
        raise ChildDiedError("it was killed")

    monkeypatch.setattr(snapshot, "answers_of", answers_of)
    with Prover() as prover:
        found = snapshot.snapshot(tmp_path, ("pure",), equality=False, prover=prover)
    said = {s.name: s.problems.get("import") for s in found.subjects}
    assert said == {"pure": None} | dict.fromkeys(
        ["pure:fused", "jax, optax"], "it was killed"
    )


def test_the_shares_of_the_work_of_a_snapshot_add_up_to_1(monkeypatch, tmp_path):
    shares, asked = [], [QuestionId(PortId("pure"), "life")] * 100
    monkeypatch.setattr(
        snapshot.Progress, "add", lambda _, what, share: shares.append(share)
    )
    monkeypatch.setattr(
        snapshot,
        "answers_of",
        lambda _, request, *rest: ((Subject(n, n), b"") for n in request[1]),
    )
    monkeypatch.setattr(snapshot, "expand", lambda *_: asked)
    monkeypatch.setattr(snapshot, "by_subject", lambda *_: [])

    def prove(prover, questions, progress):
        for number, question in enumerate(questions):
            progress(number, question)
        return Proven([], [], compiled=0, reused=0, backend=None)

    monkeypatch.setattr(Prover, "prove", prove)
    with Prover() as prover:
        snapshot.snapshot(tmp_path, ("pure",), equality=True, prover=prover)
    assert len(shares) == 103
    assert sum(shares) == pytest.approx(1.0)


def test_each_subject_of_a_framework_that_is_missing_says_so(monkeypatch):
    monkeypatch.setattr(
        "trigru.impls.unavailable", lambda name: f"{name} is not installed"
    )
    found = []
    answer_request(("nnx", ["nnx", "nnx:fused"], None), found.append)
    missing = {subject.name: subject.missing for subject, _ in found}
    assert missing == dict.fromkeys(["nnx", "nnx:fused"], "nnx is not installed")
