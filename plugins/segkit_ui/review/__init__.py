"""Review: the masks of a finished run, kept, rejected or corrected."""
