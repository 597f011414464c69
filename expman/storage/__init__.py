"""The files of a run: vectors, YAML, log and artifacts. Runs in the writer process.

Only `expman.storage.artifacts` and `expman.storage.paths` are imported by a trainer; neither
brings pyarrow or yaml.
"""
