"""Panels of the help, in the order in which they are shown."""

from __future__ import annotations

INPUT = "Input"
OUTPUT = "Output"
REGISTRATION = "Registration"
TRAINING = "Training"
GUIDANCE = "Guidance"
SCORES = "Scores"
WORKERS = "Workers"
EXPERT = "Expert"  # shown by --help-all only
PANELS = (INPUT, OUTPUT, REGISTRATION, TRAINING, GUIDANCE, SCORES, WORKERS, EXPERT)
