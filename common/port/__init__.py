"""What a port is, how its programs cross the jit boundary, what they compute, and what XLA made of them."""
