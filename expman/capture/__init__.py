"""Records of a run that no call makes: how the program ended."""
