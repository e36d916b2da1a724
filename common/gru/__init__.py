"""What the ports' GRUs share: checks of a call, initializers, the fused kernel, the initial state's learning rate."""
