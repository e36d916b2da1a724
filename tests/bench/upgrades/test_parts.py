"""Parts of the frameworks as small programs: what is kept of one, and what a change of it is told as."""

import time
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.snapshots import snapshot_of
from trigru.bench.upgrades.changes import changes
from trigru.bench.upgrades.functions import Called, Example, collect
from trigru.bench.upgrades.parts import filled, look_at_parts, signatures_of, text_of
from trigru.bench.upgrades.record import KEPT, PARTS_OF, TRACES, WAITS, Kept, Subject
from trigru.bench.upgrades.worker import place_of

X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)


def of(given):
    subject, kept = Subject("parts", "pure"), Kept()
    collect(subject, kept, "part", given)
    assert subject.problems == {}
    return snapshot_of(subject), kept


def told(old, new):
    return {(change.kind, change.what): change for change in changes(of(old), of(new))}


@pytest.mark.parametrize("framework", PARTS_OF)
def test_every_part_works_and_is_the_same_when_looked_at_again(framework):
    first, again = Kept(), Kept()
    old, new = (Subject("parts", framework) for _ in range(2))
    with jax.numpy_rank_promotion("allow"):  # as programs have it
        look_at_parts(old, first)
        look_at_parts(new, again)
    assert old.problems == {}
    assert old.signatures
    found = changes((snapshot_of(old), first), (snapshot_of(new), again))
    assert [
        change for change in found if change.kind not in ("calls", "better", "warnings")
    ] == []


def recurrent(step):
    """A loop that starts with zeros, where a term of the first step is 0."""

    def run(w, x):
        return jax.lax.scan(lambda h, x: (step(h, x, w),) * 2, jnp.zeros((4,)), x)

    return Example(
        run, np.eye(4, dtype="float32") + 0.1, (np.tile(X[:, :1].T, (3, 1)) + X.T,)
    )


def test_a_term_of_a_loop_is_told_by_its_line():
    old = recurrent(lambda h, x, w: jnp.tanh(x + h @ w))
    new = recurrent(lambda h, x, w: jnp.tanh(x + 0.99 * (h @ w)))
    change = told(old, new)["function", "part in float64: result[0] and 1 more result"]
    now, _, before = change.line.partition("; before: ")
    assert "(mul of shape 4)" in now
    assert ["test_parts.py" in side for side in (now, before)] == [True, True]


def test_each_result_is_told_by_its_own_line_and_one_line_once():
    def scaled(factor, x):
        return factor * jnp.sin(x)

    def shifted(term, x):
        return term + jnp.cos(x)

    old, new = (
        Example(
            lambda x, f=f: {
                "a": scaled(f, x),
                "b": shifted(f, x),
                "c": 3 * scaled(f, x),
            },
            X,
        )
        for f in (2.0, 2.1)
    )
    found = [
        change for (kind, _), change in told(old, new).items() if kind == "function"
    ]
    whats = [
        "part in float64: result['a'] and 1 more result",
        "part in float64: result['b']",
    ]
    assert [change.what for change in found] == whats
    assert ["(mul of" in change.line for change in found] == [True, False]
    assert ["(add of" in change.line for change in found] == [False, True]


def test_results_that_changed_places_are_told_by_the_lines_that_computed_them():
    old, new = (
        Example(lambda x, turn=turn: [jnp.sin(x * 2), jnp.cos(x)][::turn], X)
        for turn in (1, -1)
    )
    first, second = (
        change for (kind, _), change in told(old, new).items() if kind == "function"
    )
    assert [
        "(cos of" in first.line.partition(";")[0],
        "(sin of" in second.line.partition(";")[0],
    ] == [True, True]
    old, new = (Example(partial(jax.nn.gelu, approximate=a), X) for a in (True, False))
    line = told(old, new)["function", "part in float64: result"].line
    assert line.startswith("jax/_src/nn/functions.py:"), "where no library led to it"


def test_a_mask_is_named_where_it_changed_and_no_other_way_to_the_same_values():
    for old, new, operation in (
        (
            lambda x: jnp.where(x > 0, x, -1.0),
            lambda x: jnp.where(x > 0.5, x, -1.0),
            "(gt of",
        ),
        (lambda x: jnp.sin(x * 2 + 1), lambda x: jnp.tanh((x + 0.5) * 2), "(tanh of"),
    ):
        line = told(Example(old, X), Example(new, X))[
            "function", "part in float64: result"
        ].line
        assert operation in line.partition("; before: ")[0], line


def test_a_gradient_that_is_zero_in_mathematics_may_be_any_noise():
    def made(noise):
        return Example(
            lambda p, x: p["w"] * x + noise * p["b"], {"w": X, "b": X}, (1e3 * X,)
        )

    assert {kind for kind, _ in told(made(1e-18), made(2e-18))} <= {"bits"}
    assert "function" in {kind for kind, _ in told(made(1e-6), made(2e-6))}


def test_a_remat_that_keeps_everything_is_told():
    def twice(x):
        return jnp.sin(jnp.sin(x))

    found = told(Example(jax.checkpoint(twice), X), Example(twice, X))
    assert {kind for kind, _ in found} == {"kept", "program"}
    assert found["kept", f"part: {KEPT}"].old == f"{X.nbytes} B"


def test_what_is_no_array_among_parameters_is_left_as_it_is():
    snapshot, arrays = of(
        Example(
            lambda p, x: x * p["w"] if p["on"] else x, {"w": X[:1], "on": True}, (X,)
        )
    )
    values = snapshot.subjects[0].values["part in float64"]
    assert list(values) == ["result", "gradient of ['w']"]
    assert np.allclose(arrays[values["result"]], X * X[:1])


def test_the_gradient_is_that_of_half_the_sum_of_squares_also_of_complex_results():
    snapshot, arrays = of(Example(lambda x: ((1 + 2j) * x, x > 0), X))
    assert np.allclose(
        arrays[
            snapshot.subjects[0].values["part in float64"]["gradient of the parameter"]
        ],
        5 * X,
    )


def test_a_call_whose_cost_does_not_count_is_made_once():
    made = []
    snapshot, _ = of(Called(lambda _: lambda: made.append(1) or X, counted=False))
    assert (made, list(snapshot.subjects[0].values), snapshot.subjects[0].calls) == (
        [1],
        ["part"],
        {},
    )


LIBRARY = {"time": time, "warnings": warnings}
CODE = """
def wait():
    time.sleep(0.003)

def warn():
    warnings.warn("it will go.\\nSoon.", DeprecationWarning, stacklevel=2)
"""
exec(compile(CODE, "/x/site-packages/lib/a.py", "exec"), LIBRARY)


def test_a_call_that_traces_again_waits_runs_more_python_or_warns_is_told():
    def called(before=lambda: None, *, anew=False):
        def make(ran):
            once = jax.jit(ran(jnp.tanh))
            return lambda: (
                before(),
                (jax.jit(lambda x: ran(jnp.tanh)(x)) if anew else once)(X),
            )[1]

        return Called(make)

    def counts(given):
        return of(given)[0].subjects[0].calls["part"]

    plain = counts(called())
    assert (plain[TRACES], plain[WAITS]) == (1, 0)
    assert counts(called(anew=True))[TRACES] > 1
    (subject,) = of(called(LIBRARY["wait"]))[0].subjects
    assert (subject.calls["part"][WAITS] >= 2, subject.lines["part"]) == (
        True,
        "lib/a.py:3",
    )

    def costly():
        for _ in range(9):
            LIBRARY["warn"]()

    found = told(called(), called(costly))
    assert found["calls", "part"].new.endswith(" lines")
    warning = found["warnings", f"at call, {place_of(__file__)}"]
    assert (warning.new, warning.line) == (
        "DeprecationWarning: it will go.",
        "lib/a.py:6",
    )


def test_arguments_are_kept_with_their_defaults():
    optax, nnx = (dict(signatures_of(module)) for module in ("optax", "flax.nnx"))
    assert [optax["optax.adam"][name] for name in ("learning_rate", "nesterov")] == [
        "",
        "False",
    ]
    assert nnx["flax.nnx.RNN"]["unroll"] == "1", "its metaclass takes anything"
    assert "wrt" in nnx["flax.nnx.Optimizer"], "and so do methods"
    assert "grads" in nnx["flax.nnx.Optimizer.update"]
    assert text_of(frozenset("hgfedcba")) == f"{{{', '.join(map(repr, 'abcdefgh'))}}}"


def test_what_is_filled_depends_on_no_name_and_no_two_arrays_are_alike():
    first, other = (
        filled({name: np.zeros(3, "f4") for name in names} | {"n": np.arange(2)})
        for names in ("ab", "xy")
    )
    for name, same in (("a", other["x"]), ("b", other["y"]), ("n", np.arange(2))):
        assert np.array_equal(first[name], same)
    assert not np.array_equal(first["a"], first["b"])
