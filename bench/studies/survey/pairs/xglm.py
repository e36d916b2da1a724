"""Language: XGLM, XGLMModel of transformers, in PyTorch and in Flax."""

import jax
import numpy as np
from transformers import FlaxXGLMModel, XGLMConfig, XGLMModel
from trigru.parity import Model

sizes = {"d_model": 64, "num_layers": 2, "attention_heads": 4, "ffn_dim": 128}
config = XGLMConfig(vocab_size=300, **sizes)
old, new = XGLMModel(config), FlaxXGLMModel(config)
x = np.random.default_rng(0).integers(2, 300, (2, 12))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(
    new.params,
    lambda params, x, **mode: new(x, params=params, **mode).last_hidden_state,
    train={"train": True, "dropout_rng": jax.random.key(0)},
    eval={"train": False},
)
