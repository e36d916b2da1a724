"""The facts of a port: the same each time, others where one thing changed, and problems
where a process dies.
"""

from copy import copy
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.snapshots import snapshot_of
from trigru.bench.processes.pool import ChildDiedError, Pool, TaskEnded
from trigru.bench.upgrades.changes import compare_snapshots
from trigru.bench.upgrades.observing import Call, look_at, observe
from trigru.bench.upgrades.ports import loaded_model, look_at_port, rows_of
from trigru.bench.upgrades.record import Subject
from trigru.bench.upgrades.snapshot import looked_at, requests_for, shares_of
from trigru.bench.upgrades.snapshot_file import ArrayStore, Loaded
from trigru.bench.upgrades.worker import Looked, Request, answers_to
from trigru.common.errors import NotOfferedError
from trigru.impls import get_port


def changed(port, **members):
    """A port with other members."""
    other = copy(port)
    for name, value in members.items():
        setattr(other, name, value)
    return other


def look(port, *beginnings):
    """A snapshot of the rows of a port with these beginnings alone."""
    subject, store = Subject(port.name, port.name), ArrayStore()
    rows = rows_of(port)
    chosen = {name: row for name, row in rows.items() if name.startswith(beginnings)}
    look_at(subject, store, chosen)
    return Loaded(snapshot_of(subject), store)


def fail(*_, **__):
    raise RuntimeError("gone\nin this release")


@pytest.fixture
def pure():
    """Plain JAX in one call style, so that little is compiled."""
    port = get_port("pure")
    return changed(port, call_styles=port.call_styles[:1])


def test_another_function_is_told_by_the_line_that_computes_it(pure):
    def apply(model, x, carry=None, **options):
        carry, outputs = pure.apply(model, x, carry, **options)
        return carry, jnp.sin(outputs)

    other = changed(pure, apply=apply)
    changes = compare_snapshots(look(pure, "forward"), look(other, "forward"))
    lines = {change.line for change in changes if change.kind == "function"}
    (line,) = {line.partition("; before: ")[0] for line in lines if line}
    assert "test_ports.py" in line
    assert "(sin of shape 3x7x6)" in line


def test_every_port_traces(port):
    loaded = look(port, "gru", "forward", "step")
    (subject,) = loaded.snapshot.subjects
    assert subject.problems == {}
    assert subject.observations["gru"].draws
    assert subject.observations["forward"].trail
    assert subject.observations["step"].trail


def test_every_port_draws_others_from_other_random_bits(port):
    old, before = look(port, "gru"), jax.config.jax_threefry_partitionable
    try:
        jax.config.update("jax_threefry_partitionable", not before)
        changes = compare_snapshots(old, look(port, "gru"))
    finally:
        jax.config.update("jax_threefry_partitionable", before)
    assert "draws" in {change.kind for change in changes}


def test_an_exception_in_one_style_breaks_that_style_alone():
    port = get_port("pure")
    first, second, *_ = port.call_styles
    broken = replace(second, build=fail)
    rows = ("forward", "train_step")
    old = look(changed(port, call_styles=(first, second)), *rows)
    new = look(changed(port, call_styles=(first, broken)), *rows)
    (change,) = compare_snapshots(old, new)
    what = f"forward {second.name} float32 and 1 more call"
    assert (change.kind, change.what) == ("broken", what)
    assert change.new.startswith("RuntimeError in ")
    assert change.new.endswith(": gone")


def test_a_parameter_of_another_name_takes_the_values_of_one_of_its_shape():
    known = {"b": np.ones(3), "old": np.ones(2)}
    drawn = {"b": np.zeros(3), "more": np.zeros(4), "new": np.zeros(2)}
    port = changed(get_port("pure"), load=lambda *_: known, make=lambda *_: drawn)
    model = loaded_model(port)
    assert {name: array[0] for name, array in model.items()} == {
        "b": 1,
        "more": 0,
        "new": 1,
    }


def test_what_is_not_offered_is_no_problem_and_what_fails_is_one_of_its_own(pure):
    def make(config, key):
        raise NotOfferedError("drawing")

    subject = Subject("pure", "pure")
    look_at_port(changed(pure, make=make, load=fail), subject, ArrayStore())
    phases = {what.split()[0] for what in subject.problems}
    assert phases == {"forward", "gradient", "train_step", "step"}


def test_what_is_not_offered_when_it_is_called_was_not_seen():
    def call():
        raise NotOfferedError("calling")

    subject = Subject("pure", "pure")
    observe(subject, ArrayStore(), "forward", Call(call))
    assert subject.observations == {}
    assert subject.problems == {}


class PoolOfTests(Pool):
    """A pool whose processes say what a test says."""

    def __init__(self, messages):
        self._messages = messages
        self.submitted = []

    def submit(self, task):
        self.submitted.append(task)

    def messages(self):
        yield from self._messages


@pytest.mark.parametrize(
    ("died", "reason"),
    [
        (TaskEnded(ChildDiedError("it was killed")), "it was killed"),
        (TaskEnded(), "the process ended without an answer"),
    ],
)
def test_what_a_process_had_not_told_when_it_ended_is_a_problem(died, reason):
    request = Request("pure", ["pure", "pure:fused", "jax, optax"], None)
    told = Looked(Subject("pure", "pure"))
    pool = PoolOfTests([(request, told), (request, died)])
    problems = {}
    for looked in looked_at(pool, [request]):
        problems[looked.subject.name] = looked.subject.problems.get("import")
    assert pool.submitted == [request]
    assert problems == {
        "pure": None,
        "pure:fused": reason,
        "jax, optax": reason,
    }


def test_a_process_looks_at_a_port_its_fused_kernel_and_its_parts():
    (request,) = requests_for(["pure"], None)
    assert request.subjects == ["pure", "pure:fused", "jax, optax"]
    shares = shares_of([request])
    assert list(shares) == request.subjects
    assert sum(shares.values()) == pytest.approx(1.0)


def test_each_subject_of_a_framework_that_is_missing_says_so(monkeypatch):
    reason = "nnx is not installed"
    monkeypatch.setattr("trigru.impls.unavailable", lambda name: reason)
    request = Request("nnx", ["nnx", "nnx:fused"], None)
    missing = {}
    for looked in answers_to(request):
        missing[looked.subject.name] = looked.subject.missing
    assert missing == {"nnx": reason, "nnx:fused": reason}
