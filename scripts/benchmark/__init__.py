"""Measures expman beside its floors and its peers; see docs/performance.md.

The harness runs in one environment. What is measured runs in child processes, one for each
measurement, in the environment of the contestant: `contestants`, `tasks`, `child`, `timing` and
`processes` therefore need nothing but the standard library.
"""
