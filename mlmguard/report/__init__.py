"""Evidence rendered for people and machines. Every format comes from the same nouns."""
