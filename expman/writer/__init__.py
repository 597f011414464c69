"""The writer process: takes records out of lanes and writes the files of runs."""
