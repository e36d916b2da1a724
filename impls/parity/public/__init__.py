"""Compares any two models: whether they are the same function, and where they part."""

from ..impls.parity import Comparison, Location, Model, Place, assert_same, compare  # pyright: ignore[reportMissingImports]  # installed as trigru.parity

__all__ = ["Comparison", "Location", "Model", "Place", "assert_same", "compare"]
