"""The engines: who walks the images of a session, each a module; `engine` says what one is."""
