"""Floor 2: what the verbs need from the world, as small Protocols."""
