"""Measuring times: samples, the worker processes, their supervisor with the journal, and the machine."""
