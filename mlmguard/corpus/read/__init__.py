"""Files, folders, archives and addresses to documents."""
