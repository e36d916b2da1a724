import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.training.train_state import TrainState
from trigru.impls.linen import GRU

module = GRU(features=32, carry_init=nn.initializers.normal(0.1))
x = jax.random.normal(jax.random.key(1), (16, 20, 8))  # (batch, time, inputs)
params = module.init(jax.random.key(0), x)["params"]


# %% train_step
targets = jax.random.normal(jax.random.key(2), (16, 20, 32))  # (batch, time, hidden)
state = TrainState.create(apply_fn=module.apply, params=params, tx=optax.adam(1e-3))


@jax.jit
def train_step(state, x, targets):
    def loss_of(params):
        _, outputs = state.apply_fn({"params": params}, x)
        return jnp.mean((outputs - targets) ** 2)

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    return state.apply_gradients(grads=gradients), loss


for count in range(3):
    state, loss = train_step(state, x, targets)
    print(f"train step {count}: loss {loss}")
params = state.params  # trained
