"""Language: DistilBERT, DistilBertModel of transformers, in PyTorch and in Flax."""

import jax
import numpy as np
from transformers import DistilBertConfig, DistilBertModel, FlaxDistilBertModel
from trigru.parity import Model

sizes = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}
config = DistilBertConfig(vocab_size=300, **sizes)
old, new = DistilBertModel(config), FlaxDistilBertModel(config)
x = np.random.default_rng(0).integers(2, 300, (2, 12))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(
    new.params,
    lambda params, x, **mode: new(x, params=params, **mode).last_hidden_state,
    train={"train": True, "dropout_rng": jax.random.key(0)},
    eval={"train": False},
)
