"""Vesalius: an open system for medical images.

The floors, from the ground up: `standard`, `model` and `wire`, `ports`, `archive`,
the edges `dimse`, `web` and `backends`, then `app` and `cli`. Imports point down only.
"""

__version__ = "0.1.0"
