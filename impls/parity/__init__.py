"""Models of each framework, as the comparison of any two models takes them.

Read `models` first, which users import as `trigru.parity.Model`. Below it is a file for
each framework, `of_linen`, `of_nnx`, `of_equinox` and `of_torch`, which takes a module
apart into `parts`. JAX does not trace a module of PyTorch: `torch_program` runs it, and
`torch_recorder` records what it does. `saving` writes a model with another's values.
"""
