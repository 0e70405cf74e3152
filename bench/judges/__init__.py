"""Judges: what a clip shows, read from its pixels alone by a network trained on the world's ground truth."""
