"""The page of some runs: one HTML file that needs nothing else."""
