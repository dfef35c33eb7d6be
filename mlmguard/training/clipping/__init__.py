"""Sum the clipped gradients of the units in a batch: norms unit by unit, checked against a loop."""
