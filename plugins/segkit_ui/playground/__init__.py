"""The playground: one photo, every stage beside the next, changed as one looks."""
