"""From a recipe to finished images: plan, graph of work, one run, its folder."""
