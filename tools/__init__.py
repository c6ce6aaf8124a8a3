"""Scripts of the repository: they write generated pages and tables."""
