"""Vision: BEiT, BeitModel of transformers, in PyTorch and in Flax."""

import jax
import numpy as np
from transformers import BeitConfig, BeitModel, FlaxBeitModel
from trigru.parity import Model

sizes = {"hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 96}
config = BeitConfig(
    num_hidden_layers=2,
    image_size=16,
    patch_size=4,
    use_relative_position_bias=True,
    **sizes,
)
old, new = (
    BeitModel(config, add_pooling_layer=False),
    FlaxBeitModel(config, add_pooling_layer=False),
)
x = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype("f4")
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(
    new.params,
    lambda params, x, **mode: new(x, params=params, **mode).last_hidden_state,
    train={"train": True, "dropout_rng": jax.random.key(0)},
    eval={"train": False},
)
