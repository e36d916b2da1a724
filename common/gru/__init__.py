"""Shared parts of the ports' GRUs: checks of a call, initializers, fused kernel, the
initial state's learning rate.
"""
