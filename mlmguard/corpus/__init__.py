"""What was in the text: reading, finding, deduplicating, redacting, splitting."""
