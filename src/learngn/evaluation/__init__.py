"""Scores of a registration: the metrics of Learn2Reg, what they leave out, and their statistics."""
