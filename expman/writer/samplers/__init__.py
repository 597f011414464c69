"""What the writer observes by itself, for each run: one file per sampler, listed in `table`."""
