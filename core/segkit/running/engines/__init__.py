"""The engines: who walks the images of a session, each a module; `local` is this process."""
