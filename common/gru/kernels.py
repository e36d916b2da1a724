"""Kernels by name."""

#: The first scans the framework's own cell, the second is `trigru.common.gru.fused`.
STOCK, FUSED = KERNELS = ("stock", "fused")
