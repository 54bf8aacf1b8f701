"""Who walks the images of a session: this process, or one day others."""
