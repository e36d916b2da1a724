"""Language: BART with encoder and decoder, of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import BartConfig, BartModel, FlaxBartModel
from trigru.parity import Model

config = BartConfig(
    vocab_size=300, d_model=64, encoder_layers=2, decoder_layers=2, dropout=0
)
old, new = BartModel(config), FlaxBartModel(config)
x = tuple(np.random.default_rng(0).integers(2, 300, (2, 2, 12)))
reference = Model.torch(
    old,
    inputs=lambda x, y: (x, None, y),
    outputs=lambda result: result.last_hidden_state,
)
candidate = Model(
    new.params,
    lambda params, x, y: new(x, decoder_input_ids=y, params=params).last_hidden_state,
)
