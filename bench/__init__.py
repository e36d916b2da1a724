"""Time, measured."""
