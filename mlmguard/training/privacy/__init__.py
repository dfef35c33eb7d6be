"""State what a run gave away: its releases, the ledger of what was spent, and the claim computed from it."""
