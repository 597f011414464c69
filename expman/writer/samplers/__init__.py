"""Samplers: each observes something for each run. One file per sampler, listed in `table`."""
