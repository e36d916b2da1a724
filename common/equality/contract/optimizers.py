"""The optimisers that rows train with."""

from typing import Any, NamedTuple

import optax

from ...gru.optimizers import carry_learning_rate

_REST, _SCALE, _LENGTH = optax.adamw(1e-2, weight_decay=0.1), 3.0, 17
#: With so large an epsilon, it is neither the gradient's size nor the update's alone that moves the initial carry.
_OWN = optax.adam(0.02, eps=0.1)


def _by_field() -> optax.GradientTransformation:
    """The expected effect of `carry_learning_rate` on canonical records, in which no path has to be found."""

    def init(params: Any) -> Any:
        return _REST.init(params), _OWN.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        rest, rest_state = _REST.update(updates, state[0], params)
        longer = updates._replace(initial_carry=_LENGTH * updates.initial_carry)
        own, own_state = _OWN.update(longer, state[1], params)
        moved: Any = (rest, own)
        return moved[0]._replace(initial_carry=_SCALE * moved[1].initial_carry), (rest_state, own_state)

    return optax.GradientTransformation(init, update)


class Optimizer(NamedTuple):
    """An optimiser, and its effect on canonical records, if it is written in another way there."""

    of_port: optax.GradientTransformation
    of_record: optax.GradientTransformation | None = None


#: By level of a row. The update of each needs the parameters, too, or divides by the gradient.
OPTIMIZERS = {
    "momentum": Optimizer(optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.03, momentum=0.9))),
    "adam": Optimizer(optax.adam(1e-2)),
    # both the norm and the decay see every parameter
    "clipped adamw": Optimizer(optax.chain(optax.clip_by_global_norm(0.05), optax.adamw(1e-2, weight_decay=0.1))),
    "carry rate": Optimizer(carry_learning_rate(_REST, scale=_SCALE, length=_LENGTH, carry=_OWN), _by_field()),
}
