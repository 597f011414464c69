"""Sweeps: many trials of one program with parameters from a file, as processes of their own."""
