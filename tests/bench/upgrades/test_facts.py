"""What a snapshot keeps: the same each time, and another where one thing was changed in what is installed."""

import warnings
from copy import copy
from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.snapshots import snapshot_of
from trigru.bench.upgrades import facts
from trigru.bench.upgrades.changes import changes
from trigru.bench.upgrades.counting import TRACES
from trigru.bench.upgrades.facts import FACTS, Looked
from trigru.bench.upgrades.folder import CHECKPOINTS
from trigru.bench.upgrades.record import Subject
from trigru.common.port.protocol import WithKernel
from trigru.common.port.styles import functional_program
from trigru.impls import get_port


def changed(port, **members):
    """A port of which some members are others."""
    other = copy(port)
    for name, value in members.items():
        setattr(other, name, value)
    return other


def look(port, folder, *names):
    """A snapshot of a port that has some facts alone, and its arrays."""
    looked = Looked(port, Subject(port.name, port.name), folder)
    folder.mkdir(exist_ok=True)
    for name in names:
        FACTS[name](looked)
    snapshot = snapshot_of(looked.subject)
    return snapshot, looked.kept.arrays


def kinds(old, new):
    return [(change.kind, change.what) for change in changes(old, new)]


@pytest.fixture
def one_style():
    """Plain JAX in one call style, so that little is compiled."""
    port = get_port("pure")
    return changed(port, call_styles=port.call_styles[:1])


def test_every_fact_is_the_same_when_looked_at_again(tmp_path, one_style):
    first, again = (look(one_style, tmp_path / name, *FACTS) for name in ("a", "b"))
    assert changes(first, again) == []
    subject = first[0].subjects[0]
    assert subject.problems == {}
    assert all((subject.styles, subject.draws, subject.tree, subject.trails, subject.values, subject.calls))
    assert any(line.startswith("trigru/impls/pure.py:") for line in subject.trails["gradient"].lines)


def test_every_port_has_every_fact_that_it_can_have(tmp_path, port):
    found, _ = look(port, tmp_path / "a", "styles", "draws", "tree", "checkpoints")
    subject = found.subjects[0]
    assert subject.problems == {}
    assert subject.styles
    assert subject.draws.keys() == {"gru", "classifier"}
    assert 2 * len(subject.tree) == len(subject.draws["classifier"]), "from two keys"


@pytest.mark.parametrize(("name", "files"), [("linen", 2), ("equinox", 2)])
def test_checkpoints_are_written_in_each_format_without_pickle(tmp_path, name, files):
    found, _ = look(get_port(name), tmp_path / "a", "checkpoints")
    subject = found.subjects[0]
    assert subject.problems == {}
    assert len(subject.checkpoints) == files
    for file, arrays in subject.checkpoints.items():
        assert (tmp_path / "a" / CHECKPOINTS / file).exists()
        assert not file.endswith((".pt", ".pth"))
        assert arrays
        assert subject.files[file]


# One change each ----------------------------------------------------------------------------------------------------


def test_another_rounding_is_other_bits_and_no_other_function(tmp_path, one_style):
    def apply(model, x, carry=None, **options):
        carry, outputs = one_style.apply(model, x, carry, **options)
        return carry, outputs * (1 + jnp.finfo(outputs.dtype).eps)

    old = look(one_style, tmp_path / "a", "programs")
    new = look(changed(one_style, apply=apply), tmp_path / "b", "programs")
    found = kinds(old, new)
    assert {kind for kind, _ in found} <= {"bits", "program", "better"}
    assert any(kind == "bits" and what.startswith("forward") for kind, what in found)


def test_another_function_is_told_by_the_line_that_computes_it(tmp_path, one_style):
    def apply(model, x, carry=None, **options):
        carry, outputs = one_style.apply(model, x, carry, **options)
        return carry, jnp.sin(outputs)

    old = look(one_style, tmp_path / "a", "trails")
    (found,) = changes(old, look(changed(one_style, apply=apply), tmp_path / "b", "trails"))
    assert (found.kind, found.what) == ("function", "gradient in float64: result")
    assert "test_facts.py" in found.line.partition("; before: ")[0]
    assert "(sin of shape 3x7x6)" in found.line
    assert "trigru/common/port/task.py" not in found.line


def test_another_initializer_draws_others(tmp_path, one_style, monkeypatch):
    old = look(one_style, tmp_path / "a", "draws")
    from trigru.impls import pure

    monkeypatch.setattr(pure, "fan_in_per_gate", lambda key, shape, dtype: jax.random.normal(key, shape, dtype))
    found = changes(old, look(one_style, tmp_path / "b", "draws"))
    assert {c.kind for c in found} == {"draws"}


def test_other_random_bits_draw_others_in_every_framework(tmp_path, port):
    old = look(port, tmp_path / "a", "draws")
    before = jax.config.jax_threefry_partitionable
    try:
        jax.config.update("jax_threefry_partitionable", not before)
        found = changes(old, look(port, tmp_path / "b", "draws"))
    finally:
        jax.config.update("jax_threefry_partitionable", before)
    assert "draws" in {c.kind for c in found}


def test_a_renamed_parameter_is_another_tree(tmp_path):
    port = get_port("linen")

    def make(config, key):
        model = port.make(config, key)
        gru = dict(model.params["gru"]) if "gru" in model.params else dict(model.params)
        gru["start"] = gru.pop("initial_carry")
        return model.replace(params={**model.params, "gru": gru} if "gru" in model.params else gru)

    old = look(port, tmp_path / "a", "tree")
    found = changes(old, look(changed(port, make=make), tmp_path / "b", "tree"))
    assert [c.kind for c in found] == ["tree"]
    assert "initial_carry" in found[0].old
    assert "start" in found[0].new


def test_a_warning_at_a_call_is_told_with_its_place(tmp_path, one_style):
    def apply(model, x, carry=None, **options):
        warnings.warn("apply will go.\nSoon.", DeprecationWarning, stacklevel=1)
        return one_style.apply(model, x, carry, **options)

    old = look(one_style, tmp_path / "a", "programs")
    found = changes(old, look(changed(one_style, apply=apply), tmp_path / "b", "programs"))
    (warned,) = [c for c in found if c.kind == "warnings" and "at call" in c.what]
    assert warned.new == "DeprecationWarning: apply will go."
    assert "test_facts.py" in warned.what


def dearer(build, port, model, task):
    program = build(port, model, task)
    call = program.call

    def slower(*arrays):
        total = 0
        for number in range(1000):  # Python that calls nothing
            total += number
        return call(*arrays)

    return replace(program, call=slower)


def test_python_in_a_call_is_counted_even_where_it_calls_nothing(tmp_path, one_style):
    (style,) = one_style.call_styles
    styles = (replace(style, build=partial(dearer, style.build)),)
    old = look(one_style, tmp_path / "a", "programs")
    found = changes(old, look(changed(one_style, call_styles=styles), tmp_path / "b", "programs"))
    assert {c.kind for c in found} == {"calls"}
    assert all("lines" in c.new for c in found)


def test_a_trace_at_every_second_call_is_counted(tmp_path, one_style):
    def flaky(function):
        calls = 0

        def call(*arguments):
            nonlocal calls
            calls += 1
            if calls % 2:
                return jax.jit(lambda *a: function(*a))(*arguments)
            return jax.jit(function)(*arguments)

        call.lower = jax.jit(function).lower
        return call

    (style,) = one_style.call_styles
    styles = (replace(style, build=partial(functional_program, jit=flaky)),)
    found = look(changed(one_style, call_styles=styles), tmp_path / "a", "programs")[0].subjects[0].calls
    plain = look(one_style, tmp_path / "b", "programs")[0].subjects[0].calls
    assert {calls[TRACES] for calls in plain.values()} == {1}
    assert all(calls[TRACES] > 1 for calls in found.values())


def test_an_exception_in_one_style_breaks_that_style_alone(tmp_path):
    port = get_port("pure")

    def fail(*_):
        raise RuntimeError("gone\nin this release")

    first, second, *_ = port.call_styles
    old = look(changed(port, call_styles=(first, second)), tmp_path / "a", "programs")
    broken = changed(port, call_styles=(first, replace(second, build=fail)))
    found = changes(old, look(broken, tmp_path / "b", "programs"))
    assert {c.kind for c in found} == {"broken"}
    assert f" {second.name} float32 and 1 more" in found[0].what
    assert found[0].new.startswith("RuntimeError in ")
    assert found[0].new.endswith(": gone")


def test_a_checkpoint_format_that_loses_a_name_is_told(tmp_path, monkeypatch):
    port = get_port("linen")
    old = look(port, tmp_path / "a", "checkpoints")
    containers = [
        replace(c, read=partial(losing, c.read)) if c.suffixes == (".safetensors",) else c for c in facts.CONTAINERS
    ]
    monkeypatch.setattr(facts, "CONTAINERS", containers)
    (found,) = changes(old, look(port, tmp_path / "b", "checkpoints"))
    assert (found.kind, found.what) == ("checkpoints", "linen.safetensors")
    assert "initial_carry" in found.old


def losing(read, path):
    return {name: array for name, array in read(path).items() if "initial_carry" not in name}


def test_what_is_saved_twice_for_the_way_back_is_memory(tmp_path, one_style):
    @jax.custom_vjp
    def wasteful(y):
        return y

    wasteful.defvjp(lambda y: (y, (jnp.sin(jnp.outer(y, y)),)), lambda saved, d: (d + 0 * saved[0].sum(),))

    def apply(model, x, carry=None, **options):
        carry, outputs = one_style.apply(model, x, carry, **options)
        return carry, wasteful(outputs.ravel()).reshape(outputs.shape)

    old = look(one_style, tmp_path / "a", "programs")
    found = kinds(old, look(changed(one_style, apply=apply), tmp_path / "b", "programs"))
    assert any(kind == "memory" and what.startswith("gradient") for kind, what in found)


def test_linens_cell_written_in_another_way_is_other_bits(tmp_path, monkeypatch):
    """H' = n + z (h - n) is the same function."""
    port = get_port("linen")
    port = changed(port, call_styles=port.call_styles[1:2])
    old = look(port, tmp_path / "a", "programs")
    call = nn.GRUCell.__call__

    def rewritten(self, carry, inputs):
        new, _ = call(self, carry, inputs)
        again = carry + (new - carry)
        return again, again

    monkeypatch.setattr(nn.GRUCell, "__call__", rewritten)
    found = changes(old, look(port, tmp_path / "b", "programs"))
    assert {c.kind for c in found} <= {"bits", "program", "better"}
    bits = [c.new for c in found if c.kind == "bits"]
    assert bits
    assert all("in the last place" in how or "of the largest number" in how for how in bits)


def test_a_kernel_writes_no_checkpoints_of_its_own(tmp_path):
    port = WithKernel(get_port("linen"), "fused")
    looked = Looked(port, Subject("linen:fused", "linen"), tmp_path)
    FACTS["checkpoints"](looked)
    assert looked.subject.checkpoints == {}


def test_the_arrays_of_two_styles_that_agree_are_kept_once(tmp_path):
    port = get_port("pure")
    snapshot, arrays = look(changed(port, call_styles=port.call_styles[:2]), tmp_path / "a", "programs")
    named = [array for arrays in snapshot.subjects[0].values.values() for array in arrays.values()]
    assert set(named) == set(arrays)
    assert len(arrays) < len(named)
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_what_is_not_offered_is_no_problem(tmp_path):
    from trigru.common.errors import NotOfferedError

    def make(config, key):
        if config.classes:
            raise NotOfferedError("a classifier")
        return get_port("pure").make(config, key)

    found, _ = look(changed(get_port("pure"), make=make), tmp_path / "a", "draws")
    assert found.subjects[0].problems == {}
    assert found.subjects[0].draws.keys() == {"gru"}


def test_a_subject_that_fails_everywhere_has_problems_alone(tmp_path):
    def fail(*_, **__):
        raise RuntimeError("broken")

    port = changed(get_port("pure"), make=fail, load=fail)
    looked = Looked(port, Subject("pure", "pure"), tmp_path)
    facts.look(looked)
    facts_that_fail = {what.split()[0] for what in looked.subject.problems}
    assert facts_that_fail == {"draws", "tree", "trails", "forward", "gradient", "train_step", "step"}
