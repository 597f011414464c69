"""Other trackers' files become runs; a file for each format. Only the command imports this."""
