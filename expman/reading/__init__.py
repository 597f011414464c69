"""Finding and reading runs, live ones included. Writes nothing."""
