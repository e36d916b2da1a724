import jax
import jax.numpy as jnp
import optax
from flax import nnx
from trigru.impls.nnx import GRU

model = GRU(8, 32, nnx.initializers.normal(0.1), rngs=nnx.Rngs(0))
x = jax.random.normal(jax.random.key(1), (16, 20, 8))  # (batch, time, inputs)
graphdef, params = nnx.split(model)


# %% train_step, gradient
targets = jax.random.normal(jax.random.key(2), (16, 20, 32))  # (batch, time, hidden)


def loss_of(params, x, targets):
    _, outputs = nnx.merge(graphdef, params)(x)
    return jnp.mean((outputs - targets) ** 2)


# %% train_step
optimizer = optax.adam(1e-3)
opt_state = optimizer.init(params)


@jax.jit
def train_step(params, opt_state, x, targets):
    loss, gradients = jax.value_and_grad(loss_of)(params, x, targets)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss


for count in range(3):
    params, opt_state, loss = train_step(params, opt_state, x, targets)
    print(f"train step {count}: loss {loss}")


# %% forward
@jax.jit
def forward(params, x):
    return nnx.merge(graphdef, params)(x)


carry, outputs = forward(params, x)
print(f"forward: carry {carry.shape}, outputs {outputs.shape}")


# %% step
@jax.jit
def step(params, frame, carry=None):
    return nnx.merge(graphdef, params).step(frame, carry)


carry = None  # the learned one
for frame in x.swapaxes(0, 1):
    carry, output = step(params, frame, carry)
print(f"step: output {output.shape}")


# %% gradient
@jax.jit
def gradient(params, x, targets):
    return jax.value_and_grad(loss_of)(params, x, targets)


loss, gradients = gradient(params, x, targets)
of_carry = gradients["initial_carry"][...]
print(f"gradient: loss {loss}, norm of the initial carry's gradient {jnp.linalg.norm(of_carry)}")
