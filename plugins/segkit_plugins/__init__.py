"""The plugins that ship with segkit, one module or folder each, in the folder of their kind.

They are written only with segkit's public names. A module `_NAME` holds what several plugins of
its kind use, `shared` what plugins of several kinds use, `weights` the trained files with their
cards, `recipes` those that `--recipe NAME` knows.
"""
