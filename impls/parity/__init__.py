"""Models of each framework, as the comparison of any two models takes them."""
