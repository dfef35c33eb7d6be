"""Documents and passages that stand in the corpus more than once."""
