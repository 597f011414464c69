"""Modules with the names of other trackers, whose calls record a run of expman."""
