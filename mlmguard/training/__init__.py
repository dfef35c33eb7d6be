"""Train a masked language model, with differential privacy or without."""
