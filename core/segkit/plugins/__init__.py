"""What a plugin is, and how it is found: hooks, kinds of step, catalog, weights."""
