"""Runs in other trackers' formats; a file for each. Only the command imports this."""
