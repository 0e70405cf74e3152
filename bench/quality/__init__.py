"""What the model's clips show, measured from pixels by frozen judges: `python -m bench.quality`."""
