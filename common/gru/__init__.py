"""What the ports' GRUs share: checks of calls, initializers, loops and optimizers."""
