"""The trainer's side of the writer: start it, watch it, say what it cannot do."""
