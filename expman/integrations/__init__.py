"""Frameworks that log to a run: one file for each, which imports its framework."""
