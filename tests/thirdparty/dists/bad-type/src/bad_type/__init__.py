"""Two modules that misunderstand what a prompter is."""
