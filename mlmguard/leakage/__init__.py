"""What can be got out of a checkpoint: attacks, their controls and their statistics."""
