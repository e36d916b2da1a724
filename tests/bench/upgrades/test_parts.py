"""Parts of the frameworks as small programs: what is kept of one, and what a change of
it is told as.
"""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.snapshots import snapshot_of
from trigru.bench.upgrades.changes import compare_snapshots
from trigru.bench.upgrades.noticing import place_of
from trigru.bench.upgrades.observing import Call, Example, TraceCounter, observe
from trigru.bench.upgrades.parts import look_at_parts, part_names
from trigru.bench.upgrades.parts.catalogue import Catalogue, filled, paths_in
from trigru.bench.upgrades.record import PARTS_OF, Subject
from trigru.bench.upgrades.signatures import signatures_of, text_of
from trigru.bench.upgrades.snapshot_file import ArrayStore, Loaded

X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)


def look(thing):
    """A snapshot of one part alone."""
    subject, store = Subject("parts", "pure"), ArrayStore()
    observe(subject, store, "part", thing)
    assert subject.problems == {}
    return Loaded(snapshot_of(subject), store)


def part_of(loaded):
    return loaded.snapshot.subjects[0].observations["part"]


def told(old, new):
    """The changes between two parts."""
    return compare_snapshots(look(old), look(new))


def functions(old, new):
    return [change for change in told(old, new) if change.kind == "function"]


def now_and_before(change):
    now, _, before = change.line.partition("; before: ")
    return now, before


@pytest.mark.parametrize("framework", PARTS_OF)
def test_every_part_works_and_is_the_same_when_looked_at_again(framework):
    loaded = []
    with jax.numpy_rank_promotion("allow"):  # as programs have it
        for _ in range(2):
            subject, store = Subject("parts", framework), ArrayStore()
            look_at_parts(subject, store)
            loaded.append(Loaded(snapshot_of(subject), store))
    assert subject.problems == {}
    assert subject.signatures
    kinds = {change.kind for change in compare_snapshots(*loaded)}
    assert kinds <= {"calls", "better", "warnings"}


def test_each_part_of_a_subject_has_a_name_of_its_own_in_words():
    for names in part_names().values():
        assert len(set(names)) == len(names)
        assert all(" " in name or name.islower() for name in names)


def test_a_row_of_a_function_is_differentiated_by_its_first_array():
    parts = Catalogue()

    @parts.function("a product", X, 2 * X)
    def product(a, b):
        return a * b

    results = part_of(look(parts.rows["a product"]())).exact_results
    assert list(results) == ["result", "gradient of the parameter"]


def test_a_row_of_a_mistake_tells_the_class_of_its_exception():
    parts = Catalogue()

    @parts.mistake("a division by zero")
    def divide():
        return 1 / 0

    @parts.mistake("nothing wrong")
    def nothing():
        return 1

    errors = [part_of(look(make())).texts["result"] for make in parts.rows.values()]
    assert errors == ["ZeroDivisionError", "no error"]


def test_another_class_of_exception_is_a_change():
    def row(error):
        parts = Catalogue()

        @parts.mistake("part")
        def fail():
            raise error

        return parts.rows["part"]()

    (change,) = functions(row(ValueError()), row(KeyError()))
    assert (change.old, change.new) == ("ValueError", "KeyError")


def test_two_rows_of_one_name_are_refused():
    parts = Catalogue()
    parts.call("a row")(dict)
    with pytest.raises(AssertionError, match="two rows have the name a row"):
        parts.call("a row")(dict)


def test_paths_are_those_of_leaves():
    assert paths_in({"a": [1, None], "b": 2}) == "['a'][0], ['b']"


def recurrent(step):
    """A loop that starts with zeros, where a term of the first step is 0."""

    def run(w, x):
        def advance(h, x):
            h = step(h, x, w)
            return h, h

        return jax.lax.scan(advance, jnp.zeros((4,)), x)

    x = np.tile(X[:, :1].T, (3, 1)) + X.T
    return Example(run, np.eye(4, dtype="float32") + 0.1, (x,))


def test_a_term_of_a_loop_is_told_by_its_line():
    old = recurrent(lambda h, x, w: jnp.tanh(x + h @ w))
    new = recurrent(lambda h, x, w: jnp.tanh(x + 0.99 * (h @ w)))
    (change,) = functions(old, new)
    assert change.what == "part in float64: result[0] and 1 more result"
    now, before = now_and_before(change)
    assert "(mul of shape 4)" in now
    assert "test_parts.py" in now
    assert "test_parts.py" in before


def scaled(factor, x):
    return factor * jnp.sin(x)


def shifted(term, x):
    return term + jnp.cos(x)


def test_each_result_is_told_by_its_own_line_and_one_line_once():
    def results(number, x):
        once = scaled(number, x)
        return {"a": once, "b": shifted(number, x), "c": 3 * scaled(number, x)}

    old, new = Example(partial(results, 2.0), X), Example(partial(results, 2.1), X)
    first, second = functions(old, new)
    assert first.what == "part in float64: result['a'] and 1 more result"
    assert "(mul of" in first.line
    assert second.what == "part in float64: result['b']"
    assert "(add of" in second.line


def test_results_that_changed_places_are_told_by_the_lines_that_computed_them():
    old = Example(lambda x: [jnp.sin(x * 2), jnp.cos(x)], X)
    new = Example(lambda x: [jnp.cos(x), jnp.sin(x * 2)], X)
    first, second = functions(old, new)
    assert "(cos of" in now_and_before(first)[0]
    assert "(sin of" in now_and_before(second)[0]


def test_a_line_of_jax_is_named_where_no_library_led_to_it():
    old = Example(partial(jax.nn.gelu, approximate=True), X)
    new = Example(partial(jax.nn.gelu, approximate=False), X)
    (change,) = functions(old, new)
    assert change.line.startswith("jax/_src/nn/functions.py:")


@pytest.mark.parametrize(
    ("old", "new", "operation"),
    [
        (
            lambda x: jnp.where(x > 0, x, -1.0),
            lambda x: jnp.where(x > 0.5, x, -1.0),
            "(gt of",
        ),
        (
            lambda x: jnp.sin(x * 2 + 1),
            lambda x: jnp.tanh((x + 0.5) * 2),
            "(tanh of",
        ),
    ],
    ids=["a mask", "another way to the same values"],
)
def test_what_changed_is_named_and_no_other_way_to_the_same_values(old, new, operation):
    (change,) = functions(Example(old, X), Example(new, X))
    assert operation in now_and_before(change)[0]


@pytest.mark.parametrize(("noise", "is_other"), [(1e-18, False), (1e-6, True)])
def test_a_gradient_that_is_zero_in_mathematics_may_be_any_noise(noise, is_other):
    def example(noise):
        params = {"w": X, "b": X}
        return Example(lambda p, x: p["w"] * x + noise * p["b"], params, (1e3 * X,))

    changes = functions(example(noise), example(2 * noise))
    assert bool(changes) == is_other


def test_a_remat_that_keeps_everything_is_told():
    def twice(x):
        return jnp.sin(jnp.sin(x))

    changes = told(Example(jax.checkpoint(twice), X), Example(twice, X))
    assert [change.kind for change in changes] == ["kept", "program"]
    assert changes[0].what == "part: kept for the gradient"
    assert changes[0].old == f"{X.nbytes} B"


def test_what_is_no_array_among_parameters_is_left_as_it_is():
    def scale(params, x):
        return x * params["w"] if params["on"] else x

    loaded = look(Example(scale, {"w": X[:1], "on": True}, (X,)))
    results = part_of(loaded).exact_results
    assert list(results) == ["result", "gradient of ['w']"]
    assert np.allclose(loaded.arrays[results["result"]], X * X[:1])


def test_the_gradient_is_that_of_half_the_sum_of_squares_also_of_complex_results():
    loaded = look(Example(lambda x: ((1 + 2j) * x, x > 0), X))
    gradient = part_of(loaded).exact_results["gradient of the parameter"]
    assert np.allclose(loaded.arrays[gradient], 5 * X)


def test_a_call_whose_cost_does_not_count_is_made_once():
    made = []

    def call():
        made.append(1)
        return X

    part = part_of(look(Call(call, counted=False)))
    assert made == [1]
    assert list(part.results) == ["result"]
    assert part.cost is None


def test_a_call_that_traces_again_is_counted():
    traces = TraceCounter()
    jitted = jax.jit(traces.counted(jnp.tanh))
    part = part_of(look(Call(lambda: jitted(X), traces)))
    assert part.cost.traces == 1

    def trace_anew():
        return jax.jit(lambda x: traces.counted(jnp.tanh)(x))(X)

    again = part_of(look(Call(trace_anew, traces)))
    assert again.cost.traces > 1


LIBRARY = {"warnings": warnings}
CODE = """
def warn():
    warnings.warn("it will go.\\nSoon.", DeprecationWarning, stacklevel=2)
"""
exec(compile(CODE, "/x/site-packages/lib/a.py", "exec"), LIBRARY)


def test_a_call_that_runs_more_python_or_warns_is_told():
    def costly():
        for _ in range(9):
            LIBRARY["warn"]()
        return X

    changes = {change.kind: change for change in told(Call(lambda: X), Call(costly))}
    assert changes["calls"].new.endswith(" lines")
    warning = changes["warnings"]
    assert warning.what == f"at call, {place_of(__file__)}"
    assert warning.new == "DeprecationWarning: it will go."
    assert warning.line == "lib/a.py:3"


def test_arguments_are_kept_with_their_defaults():
    optax, nnx = dict(signatures_of("optax")), dict(signatures_of("flax.nnx"))
    assert optax["optax.adam"]["learning_rate"] == ""
    assert optax["optax.adam"]["nesterov"] == "False"
    assert nnx["flax.nnx.RNN"]["unroll"] == "1", "its metaclass takes anything"
    assert "wrt" in nnx["flax.nnx.Optimizer"], "and so do methods"
    assert "grads" in nnx["flax.nnx.Optimizer.update"]


def test_a_set_of_defaults_has_one_text():
    text = text_of(frozenset("hgfedcba"))
    assert text == "{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}"


ZEROS = np.zeros(3, "f4")


def test_what_is_filled_depends_on_no_name():
    first = filled({"a": ZEROS, "b": ZEROS})
    other = filled({"x": ZEROS, "y": ZEROS})
    assert np.array_equal(first["a"], other["x"])
    assert np.array_equal(first["b"], other["y"])


def test_no_two_arrays_that_are_filled_are_alike():
    first, second = filled([ZEROS, ZEROS])
    assert not np.array_equal(first, second)


def test_whole_numbers_are_not_filled():
    (numbers,) = filled([np.arange(2)])
    assert numbers.tolist() == [0, 1]
