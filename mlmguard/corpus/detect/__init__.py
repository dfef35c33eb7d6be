"""Where something personal stands in a text, and what was not looked for."""
