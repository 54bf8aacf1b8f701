"""Bundled plugins of kind `saliency`."""
