"""State space: a Mamba mixer, of mambapy and of transformers, both in PyTorch."""

import numpy as np
from mambapy.mamba import MambaBlock
from mambapy.mamba import MambaConfig as OldConfig
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 7, 16)).astype("f4")
config = MambaConfig(hidden_size=16, state_size=4, num_hidden_layers=1)
reference = Model.torch(MambaBlock(OldConfig(d_model=16, n_layers=1, d_state=4)))
candidate = Model.torch(MambaMixer(config, layer_idx=0))
