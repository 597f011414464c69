"""The page of `expman ui`: a local server, and the report that is one file."""
