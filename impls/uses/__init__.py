"""The ways in which programs of each framework make and call a port's class, for the check `class`.

Each function takes the classes of a port, and imports its framework when it is called.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from ...common.gru import initializers
from ...common.port.protocol import ModelClass, Use, ensemble, second

_ARRAYS = ("carry", "lengths", "resets")
#: The initializers that linen's and NNX's classes take, by the arrays that they draw.
_DRAWN = {
    "kernel_init": ("weight_ih",),
    "recurrent_kernel_init": ("weight_hh",),
    "bias_init": ("bias", "bias_n"),
}


@cache
def linen(GRU: Any, Model: Any) -> ModelClass:
    """The class of Flax linen's port."""
    import flax.linen as nn

    class ParentModule(nn.Module):
        """A module that makes a GRU where it calls it."""

        make: Callable[[], Any]

        @nn.compact
        def __call__(self, x, carry=None, **given):
            return self.make()(x, carry, **given)

    def construct(
        key,
        input_size,
        hidden_size,
        x=None,
        *,
        init: Any = nn.Module.init,
        kind: Any = GRU,
        **options,
    ):
        """A model of a kind of module, whose variables are made by `init(module, key, x)`."""
        module = kind(hidden_size, **options)
        x = (
            jnp.ones((1, 1, input_size), options.get("param_dtype", jnp.float32))
            if x is None
            else x
        )
        return Model(init(module, key, x)["params"], module)

    def init_by_step(module, key, x):
        return module.init(key, x[:, 0], method="step")

    def init_by_all(module, key, x):
        B, T, _ = x.shape
        given: Any = {
            "lengths": jnp.full((B,), T),
            "resets": jnp.ones((B, T), bool),
            "reverse": True,
        }
        return module.init(key, x, jnp.ones((B, module.features), x.dtype), **given)

    def init_with_output(made, x, **given):
        return made.module.init_with_output(jax.random.key(0), x, **given)[0]

    def apply_lazily(made, x, **given):
        return made.module.apply(
            {}, x, **given, rngs={"params": jax.random.key(0)}, mutable=["params"]
        )[0]

    def unbox(made):
        return Model(nn.meta.unbox(made.params), made.module)

    boxed = {
        "kernel_init": nn.with_partitioning(
            nn.initializers.lecun_normal(), (None, "model")
        ),
        "recurrent_kernel_init": nn.with_partitioning(
            initializers.orthogonal, (None, "model")
        ),
        "bias_init": nn.with_partitioning(nn.initializers.zeros, ("model",)),
        "carry_init": nn.with_partitioning(nn.initializers.zeros, ("model",)),
    }
    two: Any = nn.vmap(
        GRU,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None,  # pyright: ignore[reportArgumentType]
        axis_size=2,
    )
    own_draw: Any = {
        "is_drawn": True,
        "refuses": False,
    }  # of its sizes, it knows none before
    return ModelClass(
        construct,
        _DRAWN,
        gates_apart=True,
        uses=(
            Use(
                "init by step", partial(construct, init=init_by_step), draws_alike=True
            ),
            Use(
                "init with all arguments",
                partial(construct, init=init_by_all),
                draws_alike=True,
            ),
            Use("init_with_output", call=init_with_output, **own_draw),
            Use("a lazy apply", call=apply_lazily, **own_draw),
            Use(
                "bound",
                call=lambda made, x, **given: made.module.bind({"params": made.params})(
                    x, **given
                ),
            ),
            Use(
                "nested in nn.compact",
                partial(
                    construct,
                    kind=lambda features, **options: ParentModule(
                        partial(GRU, features, **options)
                    ),
                ),
                model=lambda made: Model(made.params["GRU_0"], made.module.make()),
            ),
            Use("boxed", partial(construct, **boxed), model=unbox, draws_alike=True),
            Use("in nn.jit", partial(construct, kind=nn.jit(GRU)), takes=_ARRAYS),
            Use(
                "in nn.remat",
                partial(construct, kind=nn.remat(GRU)),
                takes=_ARRAYS,
                draws_alike=True,
            ),
            Use(
                "an ensemble by nn.vmap",
                partial(construct, kind=two),
                lambda made, x: second(made(x)),
                lambda made: Model(second(made.params), made.module),
                takes=(),
            ),
        ),
    )


@cache
def nnx(GRU: Any) -> ModelClass:
    """The class of Flax NNX's port."""
    from flax import nnx

    def construct(
        key,
        input_size,
        hidden_size,
        x=None,
        *,
        rngs: Any = lambda key: nnx.Rngs(params=key),
        **options,
    ):
        return GRU(input_size, hidden_size, **options, rngs=rngs(key))

    def in_jit(key, *sizes, **options):
        return nnx.jit(lambda key: construct(key, *sizes, **options))(key)

    def in_rnn(model, x, carry=None, **flags):
        rnn = nnx.RNN(model.cell, return_carry=True, keep_order=True, rngs=False)
        return rnn(x, initial_carry=carry, **flags)

    def from_ones(model, x):
        rngs = nnx.Rngs(carry=jax.random.key(0))
        ones = partial(
            model.cell.initialize_carry, x[:, 0].shape, carry_init=nnx.initializers.ones
        )
        return in_rnn(model, x, (ones(rngs) + ones(rngs.carry) + ones(None)) / 3)

    def of_variables(model, x, *, reverse=False, time_major=False, **given):
        variables = {
            name: nnx.Variable(array) for name, array in {"x": x, **given}.items()
        }
        return model(**variables, reverse=reverse, time_major=time_major)

    def in_loop(model, x, **given):
        return jax.lax.map(lambda given: model(**given), {"x": x, **given})

    boxed = nnx.with_metadata(nnx.initializers.zeros, mine="a tag")
    of_rnn = ("carry", "reverse", "time_major")
    return ModelClass(
        construct,
        _DRAWN,
        uses=(
            Use("one stream of Rngs", partial(construct, rngs=nnx.Rngs)),
            Use("made in nnx.jit", in_jit, draws_alike=True),
            Use("a boxed start", partial(construct, carry_init=boxed), takes=()),
            Use(
                "split and merged",
                call=lambda model, x, **given: nnx.merge(*nnx.split(model))(x, **given),
            ),
            Use("closed over by a loop", call=in_loop, takes=_ARRAYS),
            ensemble("nnx.vmap", construct, nnx.vmap),
            Use(
                "its cell in nnx.RNN",
                call=in_rnn,
                takes=of_rnn,
                starts_from=0.0,
                refuses=False,
            ),
            Use(
                "initialize_carry",
                call=from_ones,
                takes=(),
                starts_from=1.0,
                refuses=False,
            ),
            Use("variables as arguments", call=of_variables),
        ),
        assign=lambda model, other: nnx.update(model, nnx.state(other)),
    )


@cache
def equinox(GRU: Any, time_major: Callable[..., Any]) -> ModelClass:
    """The class of Equinox's port."""
    import equinox as eqx

    def construct(key, input_size, hidden_size, x=None, **options):
        return GRU(input_size, hidden_size, **options, key=key)

    def by_filter_vmap(model, x, *, reverse=False, **given):
        return eqx.filter_vmap(lambda x, given: model(x, **given, reverse=reverse))(
            x, given
        )

    def by_time(model, x, *, resets=None, **given):
        by_time: Any = {
            "resets": None if resets is None else resets.swapaxes(0, 1),
            **given,
        }
        carry, outputs = time_major(model, x.swapaxes(0, 1), **by_time)
        return carry, jnp.swapaxes(outputs, 0, 1)

    def in_filter_jit(*given, **options):
        return eqx.filter_jit(partial(construct, **options))(*given)

    arguments = (*_ARRAYS, "reverse")
    return ModelClass(
        construct,
        uses=(
            Use("one example", takes=arguments, batched=False),
            Use("time_major", call=by_time, takes=arguments),
            Use("eqx.filter_vmap", call=by_filter_vmap, takes=arguments),
            Use(
                "made in eqx.filter_jit",
                in_filter_jit,
                by_filter_vmap,
                takes=(),
                draws_alike=True,
            ),
            ensemble(
                "eqx.filter_vmap",
                construct,
                eqx.filter_vmap,
                by_filter_vmap,
                takes=_ARRAYS,
            ),
        ),
    )
