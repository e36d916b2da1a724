"""Reinforcement learning: DQN on images, of stable_baselines3 and sbx (linen)."""

import gymnasium
import jax
import numpy as np
from sbx.common.jax_layers import NatureCNN as FlaxNatureCNN
from stable_baselines3.common.torch_layers import NatureCNN
from trigru.parity import Model

space = gymnasium.spaces.Box(0, 255, (3, 36, 36), np.uint8)
x = np.random.default_rng(0).uniform(0, 255, (2, 3, 36, 36)).astype("f4")
new = FlaxNatureCNN(n_features=32)
reference = Model.torch(NatureCNN(space, 32), inputs=lambda image: image / 255)
candidate = Model.linen(new, new.init(jax.random.key(0), x))
