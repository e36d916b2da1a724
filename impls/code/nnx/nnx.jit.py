import jax
import jax.numpy as jnp
import optax
from flax import nnx
from trigru.impls.nnx import GRU

model = GRU(8, 32, nnx.initializers.normal(0.1), rngs=nnx.Rngs(0))
x = jax.random.normal(jax.random.key(1), (16, 20, 8))  # (batch, time, inputs)


# %% train_step, gradient
targets = jax.random.normal(jax.random.key(2), (16, 20, 32))  # (batch, time, hidden)


def loss_of(model, x, targets):
    _, outputs = model(x)
    return jnp.mean((outputs - targets) ** 2)


# %% train_step
optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)


@nnx.jit
def train_step(model, optimizer, x, targets):
    loss, gradients = nnx.value_and_grad(loss_of)(model, x, targets)
    optimizer.update(model, gradients)
    return loss


for count in range(3):
    loss = train_step(model, optimizer, x, targets)  # changes the model and the optimizer in place
    print(f"train step {count}: loss {loss}")


# %% forward
@nnx.jit
def forward(model, x):
    return model(x)


carry, outputs = forward(model, x)
print(f"forward: carry {carry.shape}, outputs {outputs.shape}")


# %% step
@nnx.jit
def step(model, frame, carry=None):
    return model.step(frame, carry)


carry = None  # the learned one
for frame in x.swapaxes(0, 1):
    carry, output = step(model, frame, carry)
print(f"step: output {output.shape}")


# %% gradient
@nnx.jit
def gradient(model, x, targets):
    return nnx.value_and_grad(loss_of)(model, x, targets)


loss, gradients = gradient(model, x, targets)
of_carry = gradients["initial_carry"][...]
print(f"gradient: loss {loss}, norm of the initial carry's gradient {jnp.linalg.norm(of_carry)}")
