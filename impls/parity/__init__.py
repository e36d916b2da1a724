"""Models of each framework, as the comparison of any two models takes them.

Read first: `models`, which users import as `trigru.parity.Model`. It stands on a module for each framework, `of_linen`,
`of_nnx`, `of_equinox` and `of_torch`, which takes a module apart into `parts`. A module of PyTorch is not traced by JAX:
`torch_program` runs it, and `torch_recorder` records what it does. `saving` writes a model with another's values.
"""
