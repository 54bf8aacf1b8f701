"""Pages for people: what is seen can be corrected. Each is a command, found by its entry point."""
