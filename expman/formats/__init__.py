"""Files of other programs: how their bytes are read and written. Imports nothing heavy."""
