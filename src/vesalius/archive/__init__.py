"""Floor 3: the verbs of the archive: receive, keep, find, give back, verify."""
