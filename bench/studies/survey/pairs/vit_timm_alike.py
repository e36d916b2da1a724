"""Vision: ViT, of timm (PyTorch) and of equimo (Equinox), with the same options."""

from functools import partial

import equimo.models
import jax
import numpy as np
from timm.models import VisionTransformer
from trigru.parity import Model

sizes = {"img_size": 16, "patch_size": 4, "num_classes": 10}
alike = {
    "reg_tokens": 0,
    "global_pool": "token",
    "eps": 1e-6,
    "act_layer": partial(jax.nn.gelu, approximate=False),
}
old = VisionTransformer(embed_dim=48, depth=2, num_heads=4, **sizes)
new = equimo.models.VisionTransformer(
    in_channels=3,
    dim=48,
    depths=[2],
    num_heads=[4],
    key=jax.random.key(0),
    **sizes,
    **alike,
)
x = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype("f4")
reference = Model.torch(old)
candidate = Model.equinox(new, batched=True, key=jax.random.key(1))
