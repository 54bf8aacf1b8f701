"""Bundled plugins of kind `perturbation`; those of two directions share a module."""
