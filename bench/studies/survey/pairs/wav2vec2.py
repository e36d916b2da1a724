"""Audio: wav2vec 2.0, Wav2Vec2Model of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import FlaxWav2Vec2Model, Wav2Vec2Config, Wav2Vec2Model
from trigru.parity import Model

sizes = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_feat_extract_layers": 2,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
}
config = Wav2Vec2Config(
    num_hidden_layers=2,
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
    feat_extract_norm="layer",
    do_stable_layer_norm=True,
    **sizes,
)
old, new = Wav2Vec2Model(config), FlaxWav2Vec2Model(config)
x = np.random.default_rng(0).normal(size=(2, 400)).astype("f4")
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(new.params, lambda params, x: new(x, params=params).last_hidden_state)
