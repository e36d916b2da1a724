"""Diffusion: the U-Net of Stable Diffusion, of diffusers, in PyTorch and in Flax."""

import jax
import numpy as np
from diffusers import FlaxUNet2DConditionModel, UNet2DConditionModel
from trigru.parity import Model

sizes = {"sample_size": 8, "block_out_channels": (32, 64), "layers_per_block": 1}
sizes |= {"cross_attention_dim": 16, "attention_head_dim": 4}
down, up = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
sizes |= {
    "down_block_types": (down, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", up),
}
old, new = UNet2DConditionModel(**sizes), FlaxUNet2DConditionModel(**sizes)
random = np.random.default_rng(0)
image, text = random.normal(size=(2, 4, 8, 8)), random.normal(size=(2, 5, 16))
x = image.astype("f4"), np.array([3, 70]), text.astype("f4")
variables = {"params": new.init_weights(jax.random.key(0))}
reference = Model.torch(old, outputs=lambda result: result.sample)
candidate = Model.linen(new, variables, outputs=lambda result: result.sample)
