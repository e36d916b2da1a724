"""Measuring times: samples, the worker processes, their supervisor, and the machine."""
