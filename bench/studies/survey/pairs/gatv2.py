"""Graphs: GATv2, GATv2Conv of torch_geometric and of ion (plain JAX)."""

import ion.gnn
import jax
import numpy as np
from torch_geometric.nn import GATv2Conv
from trigru.parity import Model

edges = np.random.default_rng(0).integers(0, 6, (2, 20))
x = np.random.default_rng(1).normal(size=(6, 8)).astype("f4")
reference = Model.torch(
    GATv2Conv(8, 4, heads=2, add_self_loops=False),
    inputs=lambda x: (x, x.new_tensor(edges).long()),
)
new = ion.gnn.GATv2Conv(8, 8, num_heads=2, key=jax.random.key(0))
candidate = Model(new, lambda layer, x: layer(x, *edges))
