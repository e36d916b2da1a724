"""What the samples bear out: numbers, without text."""
