"""Child processes, whatever they do; signals, claims and temporary folders."""
