"""Floor 4, an edge: HTTP."""
