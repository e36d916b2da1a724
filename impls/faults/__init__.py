"""Ports with one planted fault each, which `trigru verify --self-test` must notice: one for each check."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import initializers

from ...common.errors import InputError
from ...common.parameters.record import from_leaves, leaves
from ...common.port.protocol import CallStyle, Port
from ...common.port.styles import functional_program
from ..pure import CLASS, PORT, PurePort

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True)
class Fault:
    """A port of plain JAX with a fault."""

    name: str  # stable
    what: str  # is wrong, in a few words
    check: str  # the one that is there for this fault; others may notice it too
    port: Port
    levels: dict[str, str] = field(
        default_factory=dict
    )  # with which it shows, where the check has rows


class Faulty(PurePort):
    """Plain JAX with some attributes changed. A method gets the right one as its first argument."""

    def __init__(self, **changed: Any):
        for name, change in changed.items():
            right = getattr(PORT, name)
            setattr(self, name, partial(change, right) if callable(right) else change)


def _changed(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A call of a model that is changed before."""
    return lambda call, model, *arguments, **options: call(
        change(model), *arguments, **options
    )


def _given(**changes: Callable[[Any], Any]) -> Callable[..., Any]:
    """A call with some arguments changed where they are passed."""

    def call(right, *arguments, **options):
        passed = {
            name: value
            for name, value in options.items()
            if value is not None and name in changes
        }
        return right(
            *arguments,
            **options | {name: changes[name](value) for name, value in passed.items()},
        )

    return call


def _results(change: Callable[..., Any]) -> Callable[..., Any]:
    """A call with its carry and outputs changed."""

    def call(right, model, x, carry=None, **options):
        return change(*right(model, x, carry, **options), **options)

    return call


def _styled(build: Callable[..., Any]) -> Faulty:
    return Faulty(call_styles=(CallStyle("faulty", "", build),))


def _asks_for_the_batch(call, model, x, carry=None, **options):
    if any(
        axis > 2**30 for axis in getattr(x, "shape", ())[:-2]
    ):  # as a choice between two ways to compute
        raise InputError("a batch that is too large")
    return call(model, x, carry, **options)


def _dump_transposed(dump, tree):
    arrays = leaves(dump(tree))
    gates = [gate.T for gate in np.split(arrays["weight_hh"], 3)]
    return from_leaves(arrays | {"weight_hh": np.concatenate(gates)})


def _construct_learned(*sizes, carry_init=None, **options):
    return CLASS.construct(
        *sizes, carry_init=carry_init or initializers.zeros, **options
    )


def _loop_from_zeros(carry, outputs, **options):
    return carry, jax.lax.scan(
        lambda _, output: (output, output), jnp.zeros_like(outputs[0]), outputs
    )[1]


def _detached(model):
    start = jax.lax.stop_gradient(model.params.initial_carry)
    return replace(model, params=model.params._replace(initial_carry=start))


_DETACHED, _NO_DTYPE = _changed(_detached), _changed(partial(replace, dtype=None))
_NO_B_HN = _changed(
    lambda m: replace(
        m, params=m.params._replace(bias_n=jnp.zeros_like(m.params.bias_n))
    )
)

#: In the order of the checks.
FAULTS: tuple[Fault, ...] = (
    Fault("no-b-hn", "b_hn dropped", "sequence", Faulty(apply=_NO_B_HN, step=_NO_B_HN)),
    Fault(
        "detached-start",
        "no gradient to the initial carry",
        "sequence",
        Faulty(apply=_DETACHED, step=_DETACHED),
        {"phase": "gradient"},
    ),
    Fault(
        "readout-of-padding",
        "readout after the padding",
        "classifier",
        Faulty(classify=lambda call, model, x, lengths=None: call(model, x)),
        {"lengths": "passed"},
    ),
    Fault(
        "length-off-by-one",
        "one step too many",
        "lengths",
        Faulty(apply=_given(lengths=lambda n: n + 1)),
    ),
    Fault(
        "no-resets",
        "resets ignored",
        "resets",
        Faulty(apply=_given(resets=lambda n: None)),
        {"entry": "whole"},
    ),
    Fault(
        "reverse-flipped",
        "backwards, outputs in the order of the run",
        "reverse",
        Faulty(
            apply=_results(
                lambda carry, outputs, reverse=False, **_: (
                    carry,
                    outputs[..., ::-1, :] if reverse else outputs,
                )
            )
        ),
        {"time-major": "no"},
    ),
    Fault(
        "dtype-ignored",
        "dtype ignored",
        "dtype",
        Faulty(apply=_NO_DTYPE),
        {"dtype": "bfloat16 of float32"},
    ),
    Fault(
        "style-other-model",
        "a call style runs another model",
        "styles",
        _styled(
            lambda port, model, task: functional_program(
                port, jax.tree.map(lambda p: p + 1e-9, model), task
            )
        ),
        {"phase": "forward"},
    ),
    Fault(
        "dump-transposed",
        "dumped matrices transposed",
        "conversion",
        Faulty(dump=_dump_transposed),
    ),
    Fault(
        "too-far",
        "steps a thousandth too long",
        "training",
        _styled(
            lambda port, model, task: functional_program(
                port,
                model,
                replace(
                    task, optimizer=optax.chain(task.optimizer, optax.scale(1.001))
                ),
            )
        ),
    ),
    Fault(
        "start-as-stored",
        "the start is handed out as stored",
        "start",
        Faulty(initial_carry=_NO_DTYPE),
    ),
    Fault(
        "counted-short",
        "lengths counted in 16 bits",
        "counted",
        Faulty(apply=_given(lengths=lambda n: jnp.maximum(n, 0).astype(jnp.uint16))),
    ),
    Fault(
        "known-batch",
        "asks how large the batch is",
        "export",
        Faulty(apply=_asks_for_the_batch),
    ),
    Fault(
        "zeros-alike",
        "a loop begins with what varies over no device",
        "mesh",
        Faulty(apply=_results(_loop_from_zeros)),
    ),
    Fault(
        "padding-multiplied",
        "padding is multiplied by zero",
        "held",
        Faulty(
            apply=_results(
                lambda carry, outputs, lengths=None, **_: (
                    carry if lengths is None else carry + 0 * carry,
                    outputs,
                )
            )
        ),
    ),
    Fault(
        "load-forgets",
        "loaded, unroll is lost",
        "life",
        Faulty(
            load=lambda load, config, params: load(replace(config, unroll=1), params)
        ),
    ),
    Fault(
        "too-wide",
        "parameters drawn a tenth too wide",
        "draws",
        Faulty(
            make=lambda make, config, key: jax.tree.map(
                lambda p: 1.1 * p, make(config, key)
            )
        ),
    ),
    Fault(
        "truthy-flags",
        "reverse=1 goes through",
        "refusals",
        Faulty(apply=_given(reverse=bool, time_major=bool)),
    ),
    Fault(
        "none-learned",
        "carry_init=None is learned",
        "class",
        Faulty(model_class=replace(CLASS, construct=_construct_learned)),
    ),
    Fault(
        "remat-ignored",
        "remat ignored",
        "memory",
        Faulty(apply=_changed(partial(replace, remat=False))),
    ),
)
