"""The trainer's side of the writer: finds, starts and supervises it."""
