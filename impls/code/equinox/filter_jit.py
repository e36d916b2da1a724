import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from trigru.impls.equinox import GRU

model = GRU(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))
x = jax.random.normal(jax.random.key(1), (16, 20, 8))  # (batch, time, inputs)


# %% train_step, gradient
targets = jax.random.normal(jax.random.key(2), (16, 20, 32))  # (batch, time, hidden)


def loss_of(model, x, targets):
    _, outputs = jax.vmap(model)(x)
    return jnp.mean((outputs - targets) ** 2)


# %% train_step
optimizer = optax.adam(1e-3)
opt_state = optimizer.init(eqx.filter(model, eqx.is_array))


@eqx.filter_jit
def train_step(model, opt_state, x, targets):
    loss, gradients = eqx.filter_value_and_grad(loss_of)(model, x, targets)
    updates, opt_state = optimizer.update(gradients, opt_state, eqx.filter(model, eqx.is_array))
    return eqx.apply_updates(model, updates), opt_state, loss


for count in range(3):
    model, opt_state, loss = train_step(model, opt_state, x, targets)
    print(f"train step {count}: loss {loss}")


# %% forward
@eqx.filter_jit
def forward(model, x):
    return jax.vmap(model)(x)


carry, outputs = forward(model, x)
print(f"forward: carry {carry.shape}, outputs {outputs.shape}")


# %% step
@eqx.filter_jit
def step(model, frame, carry=None):
    return jax.vmap(model.step)(frame, carry)


carry = None  # the learned one
for frame in x.swapaxes(0, 1):
    carry, output = step(model, frame, carry)
print(f"step: output {output.shape}")


# %% gradient
@eqx.filter_jit
def gradient(model, x, targets):
    return eqx.filter_value_and_grad(loss_of)(model, x, targets)


loss, gradients = gradient(model, x, targets)
of_carry = gradients.initial_carry
print(f"gradient: loss {loss}, norm of the initial carry's gradient {jnp.linalg.norm(of_carry)}")
