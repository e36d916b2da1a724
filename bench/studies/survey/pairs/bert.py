"""Language: BERT, BertModel of transformers, in PyTorch and in Flax."""

import jax
import numpy as np
from transformers import BertConfig, BertModel, FlaxBertModel
from trigru.parity import Model

sizes = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}
config = BertConfig(vocab_size=300, num_hidden_layers=2, **sizes)
old, new = BertModel(config), FlaxBertModel(config)
x = np.random.default_rng(0).integers(2, 300, (2, 12))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(
    new.params,
    lambda params, x, **mode: new(x, params=params, **mode).last_hidden_state,
    train={"train": True, "dropout_rng": jax.random.key(0)},
    eval={"train": False},
)
