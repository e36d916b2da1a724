"""Graphs: GCN, GCNConv of torch_geometric and of ion (plain JAX)."""

import ion.gnn
import jax
import numpy as np
from torch_geometric.nn import GCNConv
from trigru.parity import Model

edges = np.random.default_rng(0).permutation(36)[:20]
edges = np.stack([edges // 6, edges % 6])
x = np.random.default_rng(1).normal(size=(6, 8)).astype("f4")
senders, receivers = ion.gnn.add_self_loops(*edges[:, edges[0] != edges[1]], 6)
reference = Model.torch(GCNConv(8, 4), inputs=lambda x: (x, x.new_tensor(edges).long()))
candidate = Model(
    ion.gnn.GCNConv(8, 4, key=jax.random.key(0)),
    lambda layer, x: layer(x, senders, receivers),
)
