"""Workloads, the arms of a plan, and their admission, in which the oracle decides."""
