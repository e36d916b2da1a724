"""Audio: Whisper (tiny), WhisperModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import FlaxWhisperModel, WhisperConfig, WhisperModel
from trigru.parity import Model

config = WhisperConfig(max_source_positions=20)
old, new = WhisperModel(config), FlaxWhisperModel(config, input_shape=(1, 80, 40))
random = np.random.default_rng(0)
x = random.normal(size=(2, 80, 40)).astype("f4"), random.integers(2, 300, (2, 12))
reference = Model.torch(
    old,
    inputs=lambda sound, y: (sound, None, y),
    outputs=lambda result: result.last_hidden_state,
)
candidate = Model(
    new.params, lambda params, *inputs: new(*inputs, params=params).last_hidden_state
)
