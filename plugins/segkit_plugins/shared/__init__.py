"""What several bundled plugins use: no plugin itself."""
