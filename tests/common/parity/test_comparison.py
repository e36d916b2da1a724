"""Two models in plain JAX: the verdict, the quantity that differs, the line, and which
leaf is which.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.errors import InputError
from trigru.parity import Model, assert_same, compare

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


X = normal(5, 4)
PARAMS = {
    "w": normal(4, 6),
    "b": normal(1, 6),
    "v": normal(6, 3),
    "scale": normal(1, 3),
}


def forward(params, x):
    h = jax.nn.sigmoid(x @ params["w"] + params["b"])
    return jnp.tanh(h @ params["v"]) * params["scale"]


def fresh(params):
    """Other values, so that they tell nothing."""
    return jax.tree.map(
        lambda a: np.random.default_rng(a.size).normal(size=a.shape).astype(a.dtype),
        params,
    )


REFERENCE = Model(PARAMS, forward, name="reference")


def candidate(function, params=PARAMS, **options):
    return Model(fresh(params), function, name="candidate", **options)


def marked(places):
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    here = [
        place.candidate
        for place in places
        if place.candidate and place.candidate.file == __file__
    ]
    return any("# here" in source[location.line - 1] for location in here)


def wrong(result):
    return [name for name, error in result.errors.items() if error > 1e-6]


def test_the_same_function_in_another_order_of_computation():
    def otherwise(params, x):
        h = 1 / (1 + jnp.exp(-(params["w"].T @ x.T).T - params["b"]))
        return params["scale"] * jnp.tanh(h @ params["v"])

    same = assert_same(REFERENCE, candidate(otherwise), X)
    assert (same.verdict, same.places, same.remarks) == ("same", [], [])
    assert {
        "outputs",
        "gradient of input",
        "gradients of parameters",
        "outputs of a batch of one",
    } <= same.errors.keys()
    assert {"10 steps of SGD", "10 steps of Adam"} <= same.errors.keys()
    assert max(same.errors.values()) < 1e-6
    for path, value in zip(sorted(PARAMS), same.converted, strict=True):
        np.testing.assert_array_equal(value, PARAMS[path])


def test_an_input_of_integers_has_no_gradient():
    tokens = Model({"table": PARAMS["w"]}, lambda params, x: params["table"][x])
    assert (
        "gradient of input"
        not in assert_same(tokens, tokens, np.array([[0, 3], [2, 1]])).errors
    )


def test_models_of_one_name_are_told_apart():
    with pytest.raises(InputError, match=r"^reference \(candidate\) fails"):
        compare(REFERENCE, Model(PARAMS, lambda params, x: 1 / 0, name="reference"), X)
    assert REFERENCE.name == "reference"


def a_bias_too_late(params, x):
    h = jax.nn.sigmoid(x @ params["w"]) + params["b"]  # here
    return jnp.tanh(h @ params["v"]) * params["scale"]


def stopped(params, x):
    h = jax.nn.sigmoid(x @ params["w"] + params["b"])
    h = jax.lax.stop_gradient(h)  # here
    return jnp.tanh(h @ params["v"]) * params["scale"]


def narrow(params, x):
    h = jax.nn.sigmoid(x @ params["w"] + params["b"])
    h = h.astype(jnp.bfloat16)  # here
    return jnp.tanh(h.astype(jnp.float32) @ params["v"]) * params["scale"]


def of_one_example(params, x):
    y = forward(params, x)
    return y if len(x) > 1 else y + 1


#: What differs with a function, and among how many places its line is.
@pytest.mark.parametrize(
    ("function", "quantities", "place"),
    [
        (a_bias_too_late, ["outputs"], 1),
        (stopped, ["gradient of input", "gradients of parameters"], 2),
        (narrow, ["error in its own dtype", "error in its own dtype, not compiled"], 2),
        (of_one_example, ["outputs of a batch of one"], 0),
    ],
)
def test_a_fault_is_seen_in_its_quantities_alone_and_its_line_named(
    function, quantities, place
):
    result = compare(REFERENCE, candidate(function), X)
    assert (result.verdict, wrong(result)) == ("another", quantities)
    assert result.reason.startswith(f"The {quantities[0]} ")
    assert marked(result.places[:place]) == (place > 0), str(result)
    assert ("Without it, the gradients agree." in str(result)) == (function is stopped)


def test_a_batch_of_one_that_the_candidate_does_not_take():
    def refused(params, x):
        if len(x) == 1:
            raise ValueError("no batch")
        return forward(params, x)

    (remark,) = compare(REFERENCE, candidate(refused), X).remarks
    assert remark.startswith(
        "The reference takes a batch of one, the candidate does not: "
    )
    assert remark.endswith("ValueError: no batch")


def test_a_state_and_two_modes():
    def averaged(momentum):
        def function(params, state, x, train):
            mean = x.mean(0, keepdims=True) if train else state["mean"]
            new = (
                {"mean": momentum * state["mean"] + (1 - momentum) * mean}
                if train
                else state
            )
            return forward(params, x - mean), new

        state = {"mean": np.ones((1, 4), np.float32)}
        return candidate(
            function, state=state, train={"train": True}, eval={"train": False}
        )

    assert_same(averaged(0.9), averaged(0.9), X)
    result = compare(averaged(0.9), averaged(0.8), X)
    assert (result.verdict, wrong(result)) == ("another", ["new state mean (train)"])


def test_a_state_of_the_reference_alone_is_told():
    def counted(params, state, x):
        return forward(params, x), {"calls": state["calls"] + 1}

    result = assert_same(
        candidate(counted, state={"calls": np.float32([1.0])}), candidate(forward), X
    )
    assert result.remarks == [
        "Only the reference has this state, which is not compared: calls."
    ]


def test_a_candidate_of_one_mode_is_compared_in_each_of_the_reference():
    reference = Model(
        PARAMS,
        lambda params, x, noise: forward(params, x + noise),
        train={"noise": 1.0},
        eval={"noise": 0.0},
    )
    result = compare(reference, candidate(forward), X)
    assert (result.verdict, wrong(result)) == ("another", ["outputs (train)"])
    (remark,) = compare(candidate(forward), reference, X).remarks
    assert "Training is not compared" in remark


def mixed(first, second, third, fourth):
    """Of four gates, none of which is as another."""
    return jax.nn.sigmoid(first) * jnp.tanh(second) + jax.nn.relu(third) * jnp.sin(
        fourth
    )


class TestParameters:
    def test_fused_and_transposed(self):
        def attend(q, k, v):
            return jax.nn.softmax(q @ k.T) @ v

        def apart(params, x):
            return (
                attend(x @ params["query"], x @ params["key"], x @ params["value"])
                @ params["out"]
            )

        def function(params, x):
            q, k, v = jnp.split(x @ params["qkv"].T, 3, axis=-1)
            return attend(q, k, v) @ params["proj"].T

        params = {name: normal(4, 4) for name in ("query", "key", "value", "out")}
        attention = Model(params, apart)
        params = {
            "qkv": np.ones((12, 4), np.float32),
            "proj": np.ones((4, 4), np.float32),
        }
        result = assert_same(attention, candidate(function, params), X)
        found = {pair.candidate: pair for pair in result.parameters.matched}
        assert found["qkv"].reference == ("query", "key", "value")
        assert (found["proj"].reference, found["proj"].how) == (("out",), "transposed")

    def test_gates_whose_names_do_not_tell(self):
        def function(params, x, names):
            return mixed(
                *(
                    x @ params["w"][n] + x @ params["u"][n] + params["b"][n]
                    for n in names
                )
            )

        def parameters(names):
            return {
                k: {n: normal(1 if k == "b" else 4, 4) for n in names} for k in "wub"
            }

        gates = Model(parameters("ABCD"), lambda params, x: function(params, x, "ABCD"))
        result = assert_same(
            gates,
            candidate(
                lambda params, x: function(params, x, "rtsq"), parameters("rtsq")
            ),
            X,
        )
        assert {pair.candidate: pair.reference for pair in result.parameters.matched}[
            "u/q"
        ] == ("u/D",)

    def test_gates_that_are_joined_in_another_order_in_each_leaf(self):
        def twice(gates, x):
            h = jnp.tanh(x)
            for _ in range(2):
                h = mixed(*gates(h))
            return h

        def apart(params, x):
            w, u, b = (params[k] for k in "wub")
            return twice(lambda h: [x @ w[n] + h @ u[n] + b[n] for n in "ABCD"], x)

        def joined(params, x):
            def gates(h):
                parts = jnp.split(
                    x @ params["weight"] + h @ params["hidden"] + params["bias"], 4, -1
                )
                return [parts[n] for n in (2, 0, 3, 1)]

            return twice(gates, x)

        rows = {"w": 4, "u": 4, "b": 1}
        reference = Model(
            {k: {n: normal(rows[k], 4) for n in "ABCD"} for k in rows}, apart
        )
        fused = {
            "weight": normal(4, 16),
            "hidden": normal(4, 16),
            "bias": normal(1, 16),
        }
        assert_same(reference, candidate(joined, fused), X)

    def test_a_leaf_that_is_split_although_another_one_has_its_size(self):
        def joined(params, x):
            mean, spread = jnp.split(
                x @ params["encode"] @ params["moments"]["w"] + params["moments"]["b"],
                2,
                -1,
            )
            return mean + jnp.exp(spread) * params["scale"]["w"]

        def apart(params, x):
            h = x @ params["encode"]
            mean, spread = (
                h @ params[name]["w"] + params[name]["b"] for name in ("mean", "spread")
            )
            return mean + jnp.exp(spread) * params["scale"]["w"]

        common = {"encode": normal(4, 6), "scale": {"w": normal(5, 2)}}
        one = common | {"moments": {"w": normal(6, 4), "b": normal(1, 4)}}
        two = common | {
            name: {"w": normal(6, 2), "b": normal(1, 2)} for name in ("mean", "spread")
        }
        assert_same(Model(one, joined), candidate(apart, two), X)

    def test_one_more_and_one_less(self):
        def function(params, x):
            return forward({**params, "scale": jnp.ones((1, 3))}, x) + params["extra"]

        params = {
            "w": PARAMS["w"],
            "b": PARAMS["b"],
            "v": PARAMS["v"],
            "extra": np.ones((1, 1), np.float32),
        }
        result = compare(REFERENCE, candidate(function, params), X)
        assert result.verdict == "unknown"
        assert (result.parameters.only_candidate, result.parameters.only_reference) == (
            ("extra",),
            ("scale",),
        )
        assert result.reason.endswith(
            "Without a partner: extra and scale; a mapping may tell what they are."
        )
        with pytest.raises(AssertionError) as raised:
            assert_same(REFERENCE, candidate(function, params), X)
        assert str(raised.value) == str(result)
        assert (
            "\n  extra: only the candidate has it\n  scale: only the reference has it"
            in str(result)
        )
        assert (
            compare(
                REFERENCE, candidate(function, PARAMS | {"extra": params["extra"]}), X
            ).verdict
            == "another"
        )

    def test_a_mapping_has_the_last_word(self):
        def function(params, x):
            return forward(
                params
                | {
                    "scale": jnp.exp(params["log"]),
                    "b": params["one"] + params["other"],
                },
                x,
            )

        params = {
            "w": PARAMS["w"],
            "v": PARAMS["v"],
            "log": PARAMS["scale"],
            "one": PARAMS["b"],
            "other": PARAMS["b"],
        }
        reference = Model(params, function)
        mapping = {
            "scale": ("log", np.exp),
            "b": (("one", "other"), lambda one, other: one + other),
        }
        result = assert_same(reference, candidate(forward), X, mapping=mapping)
        computed, *rest = result.remarks
        assert computed.startswith(
            "b is computed of one and other, so that it may train at another rate: "
        )
        assert len(rest) == 1
        assert not any("steps of" in name for name in result.errors)
        assert (
            next(
                pair.by
                for pair in result.parameters.matched
                if pair.candidate == "scale"
            )
            == "the mapping"
        )
        assert compare(reference, candidate(forward), X).verdict != "same"

    def test_a_parameter_that_the_mapping_also_uses_to_compute_another_has_no_gradient_to_compare(
        self,
    ):
        tied = Model(
            {"w": PARAMS["w"]},
            lambda params, x: jnp.tanh(x @ params["w"]) @ jnp.exp(params["w"].T),
        )
        apart = Model(
            {"w": normal(4, 6), "e": normal(4, 6)},
            lambda p, x: jnp.tanh(x @ p["w"]) @ p["e"].T,
        )
        assert_same(tied, apart, X, mapping={"w": "w", "e": ("w", np.exp)})

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize(
        ("message", "mapping"),
        {
            "mapping is of type list": ["w"],
            "names 'u', which is no parameter of the candidate. It has: b, scale, v, "
            "w": {"u": "w"},
            "names 'u', which is no parameter of the reference": {"w": "u"},
            r"array of shape \(6, 3\), expected \(4, 6\)": {"w": "v"},
            "the mapping of 'w' fails: TypeError": {"w": ("w", lambda w: w / None)},
            "the mapping of 'w' has 2 paths: give a function": {"w": ("w", "v")},
        }.items(),
    )
    def test_a_wrong_mapping_is_refused(self, message, mapping):
        with pytest.raises(InputError, match=message):
            compare(REFERENCE, candidate(forward), X, mapping=mapping)


@pytest.mark.usefixtures("unchecked")
#: Functions of the candidate and inputs.
@pytest.mark.parametrize(
    ("message", "function", "x"),
    [
        (
            "candidate returns 2 arrays, reference 1. Give outputs=",
            lambda p, x: (forward(p, x), x),
            X,
        ),
        ("candidate returns no array", lambda p, x: None, X),
        ("candidate fails .*with the inputs .*: TypeError", lambda p, x: x / 0 @ p, X),
        (r"reference fails .*with the inputs float32\[5, 2\]", forward, X[:, :2]),
        ("is empty", forward, X[:0]),
        ("no input", forward, None),
        ("an input is 'text', expected an array of numbers", forward, "text"),
    ],
)
def test_what_cannot_be_compared_is_refused(message, function, x):
    with pytest.raises(InputError, match=message):
        compare(REFERENCE, candidate(function), x)


def test_nan_is_refused_of_the_reference_and_told_of_the_candidate():
    def nan(params, x):
        return jnp.log(-jnp.exp(forward(params, x)))

    with pytest.raises(InputError, match="returns NaN or infinity"):
        compare(candidate(nan), REFERENCE, X)
    result = compare(REFERENCE, candidate(nan), X)
    assert (result.verdict, result.as_json()["errors"]) == (
        "another",
        {"outputs": None},
    )


def gated(params, x):
    return (jax.nn.silu(x @ params["gate"]) * (x @ params["up"])) @ params["down"]


def gated_in_another_order(params, x):
    up = x @ params["up"]
    return (jax.nn.silu(x @ params["gate"]) * up + 0.1) @ params["down"]


GATED = {"gate": normal(4, 6), "up": normal(4, 6), "down": normal(6, 4)}


def test_equal_names_outrank_the_order_of_use_in_models_that_differ():
    result = compare(Model(GATED, gated), candidate(gated_in_another_order, GATED), X)
    assert result.verdict == "another"
    assert all(m.reference == (m.candidate,) for m in result.parameters.matched)


def test_a_state_without_partner_beside_parameters_that_have_several_choices():
    def stateful(params, state, x):
        return gated(params, x), state

    reference = Model(GATED, stateful, state={"table": normal(3)})
    first = {name[:1]: value for name, value in GATED.items()}
    short = candidate(lambda p, x: gated({k: p[k[:1]] for k in GATED}, x), first)
    assert compare(reference, short, X).verdict == "same"


def test_several_inputs_of_integers_keep_their_order():
    def pooled(params, x, senders, receivers):
        messages = jax.ops.segment_sum(x[senders] @ params["w"], receivers, len(x))
        return jnp.tanh(messages)

    def with_loops_of_the_given_graph(params, x, senders, receivers):
        known = (senders * 5 + receivers == LINKS).all()
        return pooled(params, x, senders, receivers) * jnp.where(known, 1.0, 2.0)

    senders, receivers = np.array([0, 1, 2, 4]), np.array([3, 1, 2, 0])
    LINKS = senders * 5 + receivers
    params = {"w": PARAMS["w"]}
    other = candidate(with_loops_of_the_given_graph, params)
    result = compare(Model(params, pooled), other, X, senders, receivers)
    assert result.verdict == "same", str(result)


def test_inputs_that_agree_in_their_order_alone_are_told():
    def ordered(params, x):
        return forward(params, x) * jnp.where(jnp.abs(x - X).max() < 1e-3, 1.0, 2.0)

    result = compare(REFERENCE, candidate(ordered), X)
    assert result.verdict == "another"
    assert any(
        "With your inputs, the outputs agree." in note for note in result.remarks
    )


def test_steps_of_training_are_compared_until_rounding_grows():
    def steep(params, x):
        return jnp.exp(40 * jnp.sin(1e5 * (x @ params["w"])))

    def otherwise(params, x):
        return jnp.exp(40 * jnp.sin(1e5 * (params["w"].T @ x.T).T))

    params = {"w": PARAMS["w"]}
    errors = assert_same(Model(params, steep), candidate(otherwise, params), X).errors
    assert not any(name.startswith("10 steps") for name in errors), errors
