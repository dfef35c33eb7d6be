"""Masked language model training, private or honestly not."""
