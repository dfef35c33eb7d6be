"""Where something personal stands in a text, and what was not looked for."""

import os

# Presidio would put a tensor on a GPU while it is imported: nothing here needs one, and a process that has
# touched it cannot be forked.
os.environ.setdefault("PRESIDIO_DEVICE", "cpu")
