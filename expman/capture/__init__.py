"""Records what nobody logs: how the program ended."""
