"""Work over very many runs, on many machines: `expman.scale.ray`.

What is done is the same as without it, `expman.catalog.build`, `expman import`, `expman.vectors`,
and so are the results. All machines need the base directory under the same path.
"""
