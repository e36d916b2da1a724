"""Diffusion: the autoencoder, AutoencoderKL of diffusers, in PyTorch and in Flax."""

import jax
import numpy as np
from diffusers import AutoencoderKL, FlaxAutoencoderKL
from trigru.parity import Model

sizes = {"sample_size": 16, "block_out_channels": (32, 64), "layers_per_block": 1}
sizes |= {"down_block_types": 2 * ("DownEncoderBlock2D",)}
sizes |= {"up_block_types": 2 * ("UpDecoderBlock2D",)}
old, new = AutoencoderKL(**sizes), FlaxAutoencoderKL(**sizes)
x = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype("f4")
variables = {"params": new.init_weights(jax.random.key(0))}
reference = Model.torch(old, outputs=lambda result: result.sample)
candidate = Model.linen(new, variables, outputs=lambda result: result.sample)
