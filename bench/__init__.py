"""The measurement of time, and the command line."""
