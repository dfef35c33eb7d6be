"""Sum the clipped gradients of the units in a batch: norms unit by unit, checked against a loop."""

from mlmguard.moved import names_of

__getattr__ = names_of(__name__)
