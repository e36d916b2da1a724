import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from trigru.impls.equinox import GRU

model = GRU(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))
x = jax.random.normal(jax.random.key(1), (16, 20, 8))  # (batch, time, inputs)
params, static = eqx.partition(model, eqx.is_array)
leaves, treedef = jax.tree.flatten(params)


# %% train_step, gradient
targets = jax.random.normal(jax.random.key(2), (16, 20, 32))  # (batch, time, hidden)


def loss_of(leaves, x, targets):
    _, outputs = jax.vmap(eqx.combine(treedef.unflatten(leaves), static))(x)
    return jnp.mean((outputs - targets) ** 2)


# %% train_step
optimizer = optax.adam(1e-3)
opt_state = optimizer.init(leaves)


@jax.jit
def train_step(leaves, opt_state, x, targets):
    loss, gradients = jax.value_and_grad(loss_of)(leaves, x, targets)
    updates, opt_state = optimizer.update(gradients, opt_state, leaves)
    return optax.apply_updates(leaves, updates), opt_state, loss


for count in range(3):
    leaves, opt_state, loss = train_step(leaves, opt_state, x, targets)
    print(f"train step {count}: loss {loss}")


# %% forward
@jax.jit
def forward(leaves, x):
    return jax.vmap(eqx.combine(treedef.unflatten(leaves), static))(x)


carry, outputs = forward(leaves, x)
print(f"forward: carry {carry.shape}, outputs {outputs.shape}")


# %% step
@jax.jit
def step(leaves, frame, carry=None):
    return jax.vmap(eqx.combine(treedef.unflatten(leaves), static).step)(frame, carry)


carry = None  # the learned one
for frame in x.swapaxes(0, 1):
    carry, output = step(leaves, frame, carry)
print(f"step: output {output.shape}")


# %% gradient
@jax.jit
def gradient(leaves, x, targets):
    return jax.value_and_grad(loss_of)(leaves, x, targets)


loss, gradients = gradient(leaves, x, targets)
of_carry = treedef.unflatten(gradients).initial_carry
print(f"gradient: loss {loss}, norm of the initial carry's gradient {jnp.linalg.norm(of_carry)}")
