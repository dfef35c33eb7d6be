"""What strings verbs together: gate, report, review, demo, explain, doctor."""
