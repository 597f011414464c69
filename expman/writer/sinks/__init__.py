"""One sink per kind of content of a run's files; `table` says which records each one takes."""
