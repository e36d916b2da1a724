"""What the ports share and what judges them. Nothing here imports flax or equinox."""
