"""Vision: ResNet-18, of torchvision and of jax_resnet (linen)."""

import jax
import numpy as np
from jax_resnet import ResNet18
from torchvision.models import resnet18
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype("f4")
new = ResNet18(n_classes=10)
variables = new.init(jax.random.key(0), x.transpose(0, 2, 3, 1))
reference = Model.torch(resnet18(num_classes=10))
candidate = Model.linen(
    new,
    variables,
    inputs=lambda image: image.transpose(0, 2, 3, 1),
    train={},
    eval={},
)
