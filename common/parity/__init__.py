"""Where two programs part: their values are evaluated in float64 and compared, equation by equation."""
