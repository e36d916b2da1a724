"""Programs that others wrote, with their GRU exchanged for trigru's: are they equal, and what do they take?

python bench/studies/programs.py xland=PATH memorax=PATH equinox=PATH

Each PATH is a clone: https://github.com/dunnolab/xland-minigrid (Apache-2.0; needs distrax),
https://github.com/noahfarr/memorax (Apache-2.0; needs flashbax and gymnax),
https://github.com/patrick-kidger/equinox (Apache-2.0). Nothing in them is changed: their modules are imported, and the
class of the recurrent part is replaced. `trigru.impls.checkpoints` moves the parameters. A train step of
each, xland's own and otherwise written here, is compared in float64, and then timed.
"""

# pyright: reportMissingImports=false

import importlib
import json
import subprocess
import sys
import types
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from timed import Arms, measure

OWN = "its own"


def xland(path: Path, kernel: str, batch: int) -> tuple[Any, ...]:
    """A PPO update of xland-minigrid's recurrent agent of 256 units, whose GRU is a scan by hand, on 32 steps."""
    import flax.linen as nn
    from flax.training.train_state import TrainState
    from trigru.impls.checkpoints import exchange
    from trigru.impls.linen import GRU as TrigruGRU

    sys.path.insert(0, str(path / "training"))
    _package("xminigrid", path / "src/xminigrid")
    sys.modules.pop("nn", None)  # whose class is replaced below
    network = importlib.import_module("nn")
    training, _, _ = (
        (path / "training/utils.py")
        .read_text(encoding="utf-8")
        .partition("# for evaluation")
    )
    utils = types.ModuleType(
        "utils"
    )  # as far as it is used: the rest does not import on each Python
    sys.modules["utils"] = utils
    exec(compile(training, "utils.py", "exec"), vars(utils))

    class GRU(nn.Module):
        hidden_dim: int
        dtype: Any = None
        param_dtype: Any = jnp.float32

        @nn.compact
        def __call__(self, xs, init_state):
            dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
            gru = TrigruGRU(self.hidden_dim, carry_init=None, kernel=kernel, **dtypes)
            nn.share_scope(self, gru)
            last, outputs = gru(xs, init_state)
            return outputs, last

    rng, float_, shape = np.random.default_rng(0), jnp.result_type(float), (batch, 32)
    inputs = {
        "obs_img": rng.integers(0, 8, (*shape, 5, 5, 2)),
        "obs_dir": jax.nn.one_hot(rng.integers(0, 4, shape), 4, dtype=float_),
        "prev_action": rng.integers(0, 6, shape),
        "prev_reward": rng.random(shape),
    }
    agent = network.ActorCriticRNN(
        6, rnn_hidden_dim=256, head_hidden_dim=256, param_dtype=float_, dtype=float_
    )
    carry = agent.initialize_carry(batch)
    params = agent.init(jax.random.key(0), inputs, carry)
    if kernel != OWN:
        names = {"weight_ih": "Wi", "weight_hh": "Wh", "bias": "bi", "bias_n": "bn"}
        (place,) = (
            f"params/{name}/GRU_0" for name in params["params"] if "RNNModel" in name
        )
        params, _ = exchange(params, "linen", [place], names)
        params = jax.tree.map(jnp.asarray, params)
        network.GRU = GRU
    state = TrainState.create(apply_fn=agent.apply, params=params, tx=optax.adam(1e-3))
    value, reward, log_prob, advantages, targets = (rng.random(shape) for _ in range(5))
    seen = {
        "obs": "obs_img",
        "dir": "obs_dir",
        "prev_action": "prev_action",
        "prev_reward": "prev_reward",
    }
    transitions = utils.Transition(
        done=rng.random(shape) < 0.1,
        action=rng.integers(0, 6, shape),
        value=value,
        reward=reward,
        log_prob=-log_prob,
        **{name: inputs[of] for name, of in seen.items()},
    )

    def update(state, *batch):
        return utils.ppo_update_networks(
            state, *batch, clip_eps=0.2, vf_coef=0.5, ent_coef=0.01
        )

    arguments = (state, transitions, carry, advantages, targets)
    one = jax.tree.map(
        lambda leaf: jnp.asarray(leaf)[None], arguments
    )  # the program averages over devices
    function = jax.jit(jax.vmap(update, axis_name="devices"))
    return (
        function,
        one,
        lambda result: (result[1], optax.tree.norm(result[0].opt_state[0].mu)),
    )


def memorax(path: Path, kernel: str, batch: int) -> tuple[Any, ...]:
    """A train step of memorax's RNN around linen's GRUCell, 256 units, on 128 steps in which episodes end."""
    import flax.linen as nn
    from trigru.impls.checkpoints import exchange
    from trigru.impls.linen import GRU

    for name in (
        "memorax",
        "memorax.networks",
        "memorax.networks.sequence_models",
        "memorax.utils",
    ):
        _package(name, path / name.replace(".", "/"))
    rnn = importlib.import_module("memorax.networks.sequence_models.rnn")
    float_, rng = jnp.result_type(float), np.random.default_rng(0)
    x, done = (
        jnp.asarray(rng.normal(size=(batch, 128, 64))),
        jnp.asarray(rng.random((batch, 128)) < 0.02),
    )
    own = rnn.RNN(cell=nn.GRUCell(features=256, param_dtype=float_))
    carry = own.initialize_carry(jax.random.key(0), (batch, 64))
    variables = own.init(jax.random.key(0), x, done, carry)
    call: Any = own.apply
    if kernel != OWN:
        variables, _ = exchange(
            {"params": {"cell": variables["params"]["cell"]}}, "linen", ["params"]
        )
        variables = jax.tree.map(jnp.asarray, variables)
        gru = GRU(256, carry_init=None, param_dtype=float_, kernel=kernel)

        def call(variables, x, done, carry):
            return gru.apply(variables, x, carry, resets=done)

    def loss(variables, x, done):
        return jnp.mean(call(variables, x, done, carry)[1] ** 2)

    return trained_by(optax.adam(1e-3), loss, variables, x, done)


def equinox(path: Path, kernel: str, batch: int) -> tuple[Any, ...]:
    """The train step of the RNN of Equinox's documentation: 16 time steps of 2 inputs, a readout of the last state."""
    import equinox as eqx
    from trigru.impls.equinox import GRU

    notebook = json.loads(
        (path / "docs/examples/train_rnn.ipynb").read_text(encoding="utf-8")
    )
    sources = [
        "".join(cell["source"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]
    names: dict[str, Any] = {}
    for source in sources[:3]:  # the imports, the data and the class
        exec(compile(source, "train_rnn.ipynb", "exec"), names)
    x, y = names["get_data"](batch, key=jax.random.key(0))
    options: dict[str, Any] = {
        "in_size": 2,
        "out_size": 1,
        "hidden_size": 16,
        "key": jax.random.key(1),
    }
    model = names["RNN"](**options)

    class RNN(names["RNN"]):
        def __call__(self, input):
            out, _ = self.cell(input)
            return jax.nn.sigmoid(self.linear(out) + self.bias)

    if kernel != OWN:
        gru = GRU(2, 16, carry_init=None, kernel=kernel, key=jax.random.key(2))
        gru = eqx.tree_at(lambda gru: gru.cell, gru, model.cell)
        model = eqx.tree_at(lambda model: model.cell, RNN(**options), gru)
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(params, x, y):
        predicted = jax.vmap(eqx.combine(params, static))(x)
        return -jnp.mean(y * jnp.log(predicted) + (1 - y) * jnp.log(1 - predicted))

    return trained_by(optax.adam(3e-3), loss, params, x, y)


def trained_by(optimizer: Any, loss: Any, params: Any, *data: Any) -> tuple[Any, ...]:
    """A train step with its arguments, and what of its results is compared: the loss, and the norm of the gradient."""

    def step(params, state, *data):
        value, gradient = jax.value_and_grad(loss)(params, *data)
        updates, state = optimizer.update(gradient, state)
        return (
            optax.apply_updates(params, updates),
            state,
            value,
            optax.tree.norm(gradient),
        )

    return (
        jax.jit(step),
        (params, optimizer.init(params), *data),
        lambda result: result[2:],
    )


#: Each with the numbers of its sequences.
PROGRAMS = {
    "xland": (xland, (32, 1)),
    "memorax": (memorax, (2, 32)),
    "equinox": (equinox, (32,)),
}


def arms(name: str, path: Path, batch: int) -> Arms:
    """The program as it is, and with each kernel."""
    return {
        kernel: partial(PROGRAMS[name][0], path, kernel, batch)
        for kernel in (OWN, "stock", "fused")
    }


def differences(made: Arms) -> dict[str, float]:
    """The largest relative difference, in float64, of the numbers that the train steps report."""
    results = {}
    with jax.enable_x64(True):
        for kernel, make in made.items():
            function, arguments, reported = make()
            leaves = jax.tree.leaves(reported(function(*arguments)))
            results[kernel] = np.array([np.asarray(leaf).sum() for leaf in leaves])
    own = results.pop(OWN)
    return {
        kernel: float(np.max(np.abs(result - own) / np.abs(own).max()))
        for kernel, result in results.items()
    }


def main(given: list[str]) -> None:
    """Print, for each program, its commit, the differences, and times relative to the program's own GRU."""
    for argument in given:
        name, _, folder = argument.partition("=")
        path = Path(folder).resolve()
        commit = subprocess.run(
            ["git", "-C", path, "log", "-1", "--format=%h of %as"],
            capture_output=True,
            text=True,
        )
        print(f"{name}, commit {commit.stdout.strip()}; jax {jax.__version__}")
        for batch in PROGRAMS[name][1]:
            print(
                f"  {batch} sequences: differences {differences(arms(name, path, batch))}"
            )
            times = measure(partial(arms, name, path, batch), name, processes=4)
            for kernel, (time_ms, r, word) in times.items():
                print(
                    f"  {kernel}: {time_ms:.4g} ms, {r.ratio:.2f} [{r.low:.2f}, {r.high:.2f}], {word}"
                )


def _package(name: str, path: Path) -> None:
    """Make a package importable without what its __init__ imports."""
    package = types.ModuleType(name)
    package.__path__ = [str(path)]
    sys.modules[name] = package


if __name__ == "__main__":
    main(sys.argv[1:])
