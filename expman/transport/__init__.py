"""Lanes: how records travel through shared memory. Used by producers and by the writer."""
