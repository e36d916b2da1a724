"""Graphs: GraphSAGE, SAGEConv of torch_geometric and of ion (plain JAX)."""

import ion.gnn
import jax
import numpy as np
from torch_geometric.nn import SAGEConv
from trigru.parity import Model

edges = np.random.default_rng(0).integers(0, 6, (2, 20))
x = np.random.default_rng(1).normal(size=(6, 8)).astype("f4")
reference = Model.torch(
    SAGEConv(8, 4), inputs=lambda x: (x, x.new_tensor(edges).long())
)
candidate = Model(
    ion.gnn.SAGEConv(8, 4, key=jax.random.key(0)), lambda layer, x: layer(x, *edges)
)
