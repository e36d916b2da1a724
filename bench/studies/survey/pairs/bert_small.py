"""Language: BERT (small, 28 million), of transformers, in PyTorch and in Flax."""

import jax
import numpy as np
from transformers import BertConfig, BertModel, FlaxBertModel
from trigru.parity import Model

sizes = {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048}
config = BertConfig(num_hidden_layers=4, **sizes)
old, new = BertModel(config), FlaxBertModel(config)
x = np.random.default_rng(0).integers(2, 300, (1, 8))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(
    new.params,
    lambda params, x, **mode: new(x, params=params, **mode).last_hidden_state,
    train={"train": True, "dropout_rng": jax.random.key(0)},
    eval={"train": False},
)
