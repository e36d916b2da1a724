"""Reinforcement learning: two critics, of stable_baselines3 and sbx (linen)."""

import gymnasium
import jax
import numpy as np
import torch
from sbx.common.policies import VectorCritic
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import FlattenExtractor
from trigru.parity import Model

seen, done = gymnasium.spaces.Box(-1, 1, (6,)), gymnasium.spaces.Box(-1, 1, (2,))
old = ContinuousCritic(seen, done, [16, 16], FlattenExtractor(seen), 6)
new = VectorCritic([16, 16])
random = np.random.default_rng(0)
x = random.normal(size=(3, 6)).astype("f4"), random.normal(size=(3, 2)).astype("f4")
reference = Model.torch(old, outputs=torch.stack)
candidate = Model.linen(new, new.init(jax.random.key(0), *x))
