"""Parts of Flax NNX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ..functions import Called, Example, Ran
from . import B, D, H, Parts, T, called, donated, dtypes, filled, letters, nnx_state, normal, refused

X, FRAME, CARRY, STEPS = normal(B, T, D), normal(B, D), normal(B, H), normal(T, B, D)


def _call(module: Any, *inputs: Any, **options: Any) -> Any:
    return module(*inputs, **options)


def _of(
    make: Callable[[Any], Any], *inputs: Any, call: Callable[..., Any] = _call, compiled: bool = False, **options: Any
) -> Callable[[], Example]:
    """A module that is called with inputs."""

    def example() -> Example:
        graph, drawn, rest = nnx.split(make(nnx.Rngs(0)), nnx.Param, ...)

        def function(params: Any, *inputs: Any) -> Any:
            own = jax.tree.map(lambda a: a, rest)  # random streams, which a call moves on
            return call(nnx.merge(graph, params, own), *inputs, **options)

        return Example(function, filled(drawn), inputs, drawn, compiled)

    return example


def _fixed(module: Any) -> Any:
    """A module whose parameters are not those that were drawn."""
    nnx.update(module, filled(nnx.state(module, nnx.Param)))
    return module


def _cell(rngs: Any, **options: Any) -> Any:
    return nnx.GRUCell(D, H, rngs=rngs, **options)


def _rnn(rngs: Any, **options: Any) -> Any:
    return nnx.RNN(_cell(rngs), **options)


class _Layers(nnx.Module):
    """A module of many, as users write one."""

    def __init__(self, rngs: Any):
        self.linear = nnx.Linear(D, H, rngs=rngs)
        self.general = nnx.LinearGeneral(D, (2, 3), rngs=rngs)
        self.einsum = nnx.Einsum("btd,dh->bth", (D, H), (H,), rngs=rngs)
        self.conv = nnx.Conv(D, H, (3,), rngs=rngs)
        self.transposed = nnx.ConvTranspose(D, H, (3,), rngs=rngs)
        self.embed = nnx.Embed(T, D, rngs=rngs)
        self.layer_norm = nnx.LayerNorm(D, rngs=rngs)
        self.rms_norm = nnx.RMSNorm(D, rngs=rngs)
        self.group_norm = nnx.GroupNorm(D, num_groups=D, rngs=rngs)
        self.batch_norm = nnx.BatchNorm(D, rngs=rngs)
        self.sequential = nnx.Sequential(nnx.Linear(D, H, rngs=rngs), nnx.relu)
        self.lstm = nnx.RNN(nnx.OptimizedLSTMCell(D, H, rngs=rngs))
        self.lstm_cell = nnx.RNN(nnx.LSTMCell(D, H, rngs=rngs))
        self.simple = nnx.RNN(nnx.SimpleCell(D, H, rngs=rngs))
        self.attention = nnx.MultiHeadAttention(1, D, decode=False, rngs=rngs)
        self.bidirectional = nnx.Bidirectional(_rnn(rngs), _rnn(rngs), rngs=rngs)

    def __call__(self, x: Any) -> Any:
        """The results of each layer, and the statistics that they change."""
        names = [name for name, layer in vars(self).items() if isinstance(layer, nnx.Module)]
        inputs = {"embed": np.array([[0, 2], [3, 1]])}
        found = {name: getattr(self, name)(inputs.get(name, x)) for name in names}
        found["statistics"] = jax.tree.leaves(nnx.state(self.batch_norm, nnx.BatchStat))
        self.eval()
        found["inference"] = self.batch_norm(x)
        self.train()
        found["training again"] = self.batch_norm(x)
        found["mask"] = self.attention(x, mask=nnx.make_causal_mask(x[..., 0]))
        return found | {"avg_pool": nnx.avg_pool(x, (2,), (2,)), "max_pool": nnx.max_pool(x, (2,), (2,))}


def _with_remat(cell: Any, h: Any, x: Any) -> Any:
    step = nnx.remat(lambda cell, h, x: cell(h, x))
    for frame in x:
        h, _ = step(cell, h, frame)
    return h


def _scanned(cell: Any, h: Any, x: Any) -> Any:
    return nnx.scan(lambda h, cell, x: cell(h, x), in_axes=(nnx.Carry, None, 0), out_axes=(nnx.Carry, 0))(h, cell, x)


def _mapped(linear: Any, x: Any) -> Any:
    return nnx.vmap(lambda linear, x: linear(x), in_axes=(None, 0))(linear, x)


def _derived(linear: Any, x: Any) -> dict[str, Any]:
    """Derivatives and branches."""

    def loss(linear: Any, x: Any) -> Any:
        return jnp.sum(linear(x) ** 2)

    leaves = lambda tree: jax.tree.leaves(tree)  # noqa: E731
    return {
        "grad": leaves(nnx.grad(loss)(linear, x)),
        "grad of the inputs": nnx.grad(loss, argnums=1)(linear, x),
        "grad with aux": leaves(nnx.grad(lambda *a: (loss(*a), a[1]), has_aux=True)(linear, x)),
        "value_and_grad": leaves(nnx.value_and_grad(loss)(linear, x)),
        "cond": nnx.cond(x[0, 0] > 0, lambda m, x: m(x), lambda m, x: -m(x), linear, x),
        "fori_loop": nnx.fori_loop(0, 3, lambda _, x: jnp.tanh(x), x),
    }


def _jitted(ran: Ran) -> Callable[[], Any]:
    cell, call = _fixed(_cell(nnx.Rngs(0))), nnx.jit(ran(lambda cell, h, x: cell(h, x)))
    return lambda: call(cell, CARRY, FRAME)


def _trained(ran: Ran) -> Callable[[], Any]:
    """Steps of training, as the documentation has it; each call starts anew."""

    def step(linear: Any, optimizer: Any) -> Any:
        loss, gradient = nnx.value_and_grad(lambda linear: jnp.sum(linear(FRAME) ** 2))(linear)
        optimizer.update(linear, gradient)
        return loss

    linear = _fixed(nnx.Linear(D, H, rngs=nnx.Rngs(0)))
    optimizer, jitted = nnx.Optimizer(linear, optax.adam(1e-2), wrt=nnx.Param), nnx.jit(ran(step))

    def call() -> Any:
        nnx.update(linear, filled(nnx.state(linear, nnx.Param)))
        nnx.update(optimizer, jax.tree.map(jnp.zeros_like, nnx.state(optimizer)))
        return [jitted(linear, optimizer), jitted(linear, optimizer), jax.tree.leaves(nnx.state((linear, optimizer)))]

    return call


def _optimizer() -> Any:
    linear = _fixed(nnx.Linear(D, H, rngs=nnx.Rngs(0)))
    optimizer = nnx.Optimizer(linear, optax.adam(1e-2), wrt=nnx.Param)
    gradient = nnx.grad(lambda linear: jnp.sum(linear(FRAME) ** 2))(linear)
    updates = optimizer.update(linear, gradient)
    return nnx.to_pure_dict(nnx.state(linear)), nnx.to_pure_dict(nnx.state(optimizer)), jax.tree.leaves(updates)


def _access() -> Any:
    param = nnx.Param(jnp.asarray(CARRY))
    read = {
        "value": param.value,
        "[...]": param[...],
        "[0]": param[0],
        "+": param + 1,
        "T": param.T,
        "@": param @ CARRY.T,
    }
    param.value = 2 * param[...]
    written = param[...]
    param[...] = 3 * written
    return {**read, "written": written, "[...] =": param[...], "dtype": jnp.zeros((), param.dtype)}


def _state() -> Any:
    """Taking a module apart and putting it together."""
    cell = _fixed(_cell(nnx.Rngs(0)))
    state = jax.tree.map(lambda a: 2 * a, nnx.state(cell, nnx.Param))
    nnx.update(cell, state)
    graph, params, rest = nnx.split(nnx.clone(cell), nnx.Param, ...)
    pure = nnx.to_pure_dict(params)
    nnx.replace_by_pure_dict(params, jax.tree.map(lambda a: a + 1, pure))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(nnx.state(cell))]
    return [cell(CARRY, FRAME), nnx.merge(graph, params, rest)(CARRY, FRAME), pure, letters(*paths)]


class _Masked(nnx.Module):
    """Normalization by the statistics of some numbers alone."""

    def __init__(self, rngs: Any):
        self.layer_norm = nnx.LayerNorm(D, rngs=rngs)
        self.rms_norm = nnx.RMSNorm(D, rngs=rngs)
        self.group_norm = nnx.GroupNorm(D, num_groups=D, rngs=rngs)
        self.batch_norm = nnx.BatchNorm(D, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        layers = {name: layer for name, layer in vars(self).items() if isinstance(layer, nnx.Module)}
        found = {name: layer(x, mask=np.abs(X) < 1.5) for name, layer in layers.items()}
        return found | {"statistics": jax.tree.leaves(nnx.state(self.batch_norm, nnx.BatchStat))}


def _metrics(x: Any) -> dict[str, Any]:
    """Metrics after two updates."""
    some, labels = nnx.metrics, np.array([[0, 2, 1, 0], [1, 1, 4, 2], [3, 0, 0, 2]])
    pairs = some.MultiMetric(loss=some.Average("loss"), accuracy=some.Accuracy())
    metrics = {"Average": some.Average(), "Average with a mask": some.Average(), "Welford": some.Welford()}
    for values in (x[0], 3 + 2 * x[1]):
        metrics["Average"].update(values=values)
        metrics["Average with a mask"].update(values=values, mask=np.tri(T, D) > 0)
        metrics["Welford"].update(values=values)
        pairs.update(loss=jnp.sum(values), logits=x, labels=labels)
    return {name: metric.compute() for name, metric in {**metrics, "MultiMetric": pairs}.items()}


def _assign_list() -> None:
    module = nnx.Module()
    module.layers = [nnx.Linear(D, H, rngs=nnx.Rngs(0))]  # pyright: ignore[reportAttributeAccessIssue]
    nnx.split(module)


def _changed_in_a_trace() -> None:
    param = nnx.Param(jnp.asarray(CARRY))

    def change(x: Any) -> Any:
        param.value = x
        return x

    jax.jit(change)(CARRY)


LENGTHS = np.array([1, 4, 2])
PARTS: Parts = {
    "nnx.GRUCell": _of(_cell, CARRY, FRAME),
    "nnx.GRUCell.initialize_carry": called(lambda: _cell(nnx.Rngs(0)).initialize_carry((B, D), nnx.Rngs(0))),
    "nnx.GRUCell in half precision": dtypes(
        lambda: (
            lambda cell: [nnx.state(cell, nnx.Param), cell.initialize_carry((B, D), nnx.Rngs(0)), cell(CARRY, FRAME)]
        )(_cell(nnx.Rngs(0), param_dtype=jnp.bfloat16, recurrent_kernel_init=nnx.initializers.zeros))
    ),
    "nnx.GRUCell under x64": dtypes(lambda: nnx.state(_cell(nnx.Rngs(0)), nnx.Param), x64=True),
    "nnx.RNN": _of(_rnn, X, compiled=True),
    "nnx.RNN with a carry": _of(lambda rngs: _rnn(rngs, return_carry=True), X, initial_carry=CARRY),
    "nnx.RNN with lengths": _of(lambda rngs: _rnn(rngs, return_carry=True), X, seq_lengths=LENGTHS),
    "nnx.RNN in reverse": _of(lambda rngs: _rnn(rngs, reverse=True, keep_order=True), X),
    "nnx.RNN in reverse with lengths": _of(
        lambda rngs: _rnn(rngs, reverse=True, return_carry=True), X, seq_lengths=LENGTHS
    ),
    "nnx.RNN, time first": _of(lambda rngs: _rnn(rngs, time_major=True), STEPS),
    "nnx.Bidirectional with carries": _of(
        lambda rngs: nnx.Bidirectional(_rnn(rngs), _rnn(rngs), return_carry=True, rngs=rngs), X, seq_lengths=LENGTHS
    ),
    "nnx.SimpleCell with a residual": _of(lambda rngs: nnx.SimpleCell(D, H, residual=True, rngs=rngs), CARRY, FRAME),
    "nnx.LoRA": _of(lambda rngs: nnx.LoRA(D, 2, H, base_module=nnx.Linear(D, H, rngs=rngs), rngs=rngs), FRAME),
    "nnx.LoRALinear": _of(lambda rngs: nnx.LoRALinear(D, H, lora_rank=2, rngs=rngs), FRAME),
    "nnx norms with a mask": _of(_Masked, X),
    "nnx.metrics": lambda: Example(_metrics, X),
    "nnx layers": _of(_Layers, X),
    "nnx.remat": _of(_cell, CARRY, STEPS, call=_with_remat),
    "nnx.scan": _of(_cell, CARRY, STEPS, call=_scanned),
    "nnx.vmap": _of(lambda rngs: nnx.Linear(D, H, rngs=rngs), FRAME, call=_mapped),
    "nnx.grad, value_and_grad and cond": _of(lambda rngs: nnx.Linear(D, H, rngs=rngs), FRAME, call=_derived),
    "nnx.jit": lambda: Called(_jitted),
    "nnx.jit of a training step": lambda: Called(_trained),
    "nnx.jit with donation": donated(lambda f: nnx.jit(f, donate_argnums=0)),
    "nnx.Optimizer": called(_optimizer),
    "nnx.Param": called(_access),
    "nnx.split and nnx.merge": called(_state),
    **nnx_state.PARTS,
    "mistakes": refused(
        dropout_without_key=lambda: nnx.Dropout(0.5)(FRAME),
        no_wrt=lambda: nnx.Optimizer(nnx.Linear(D, H, rngs=nnx.Rngs(0)), optax.sgd(1.0)),  # pyright: ignore
        list_of_modules=_assign_list,
        input_of_other_shape=lambda: nnx.Linear(D, H, rngs=nnx.Rngs(0))(jnp.asarray(CARRY)),
        changed_in_a_trace=_changed_in_a_trace,
        state_of_another_module=lambda: nnx.update(_cell(nnx.Rngs(0)), nnx.state(_rnn(nnx.Rngs(0)))),
    ),
}
PUBLIC = ("flax.nnx", "flax.nnx.nn.initializers")
