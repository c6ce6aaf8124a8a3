"""Beside the application, on its floor: a hospital that is not there, as a client of any archive."""
