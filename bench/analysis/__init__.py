"""Judgement of the samples: numbers, without text."""
