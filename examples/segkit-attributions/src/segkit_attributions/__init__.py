"""Six more ways to see where a network looks, each a saliency plugin of segkit."""
