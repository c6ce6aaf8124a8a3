"""Floor 1: the nouns and rules of radiology. Pure: no I/O, no clock, no database."""
