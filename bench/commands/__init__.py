"""What `trigru` does, a command a module: each prints its answer, writes its files and picks the exit code."""
