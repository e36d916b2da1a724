from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from trigru.impls.equinox import GRU

model = GRU(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))
x = jax.random.normal(jax.random.key(1), (16, 20, 8))  # (batch, time, inputs)
params, static = eqx.partition(model, eqx.is_array)


# %% train_step
targets = jax.random.normal(jax.random.key(2), (16, 20, 32))  # (batch, time, hidden)


def loss_of(params, x, targets):
    _, outputs = jax.vmap(eqx.combine(params, static))(x)
    return jnp.mean((outputs - targets) ** 2)


optimizer = optax.adam(1e-3)
opt_state = optimizer.init(params)


@partial(jax.jit, donate_argnums=(0, 1))  # the old parameters and state cannot be used again
def train_step(params, opt_state, x, targets):
    loss, gradients = jax.value_and_grad(loss_of)(params, x, targets)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss


for count in range(3):
    params, opt_state, loss = train_step(params, opt_state, x, targets)
    print(f"train step {count}: loss {loss}")
