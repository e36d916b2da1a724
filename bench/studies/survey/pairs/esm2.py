"""Language: ESM-2 of proteins, of transformers (PyTorch) and esm2quinox (Equinox)."""

import esm2quinox
import jax
import numpy as np
from transformers import EsmConfig, EsmModel
from trigru.parity import Model

sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 128}
options = {"emb_layer_norm_before": False, "token_dropout": True, "mask_token_id": 32}
options |= {
    "pad_token_id": 1,
    "position_embedding_type": "rotary",
    "layer_norm_eps": 1e-5,
}
config = EsmConfig(vocab_size=33, num_hidden_layers=2, **sizes, **options)
new = esm2quinox.ESM2(2, 32, 4, token_dropout=True, key=jax.random.key(0))
x = np.random.default_rng(0).integers(4, 24, (2, 12))
reference = Model.torch(
    EsmModel(config, add_pooling_layer=False), outputs=lambda r: r.last_hidden_state
)
candidate = Model.equinox(new, batched=True, outputs=lambda result: result.hidden)
