"""Turn texts into what a step is given: tokens, units, windows, masks, packed rows."""
