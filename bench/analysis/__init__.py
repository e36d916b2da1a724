"""What the samples show: numbers, without text."""
