"""Checkpoints and tokenizers that strangers made: looked at first, then loaded, by one door."""
