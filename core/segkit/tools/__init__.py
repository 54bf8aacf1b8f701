"""For who installs segkit or writes a plugin: doctor, scaffold."""
