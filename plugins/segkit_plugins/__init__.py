"""The plugins that ship with segkit, one module each, written only with segkit's public names."""
