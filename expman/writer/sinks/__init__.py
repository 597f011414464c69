"""One sink per kind of content of a run's files. `table` maps types of records to sinks."""
