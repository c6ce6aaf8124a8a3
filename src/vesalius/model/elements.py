"""The header of a data set as it streams in: see `elements_reader.py` for the walker itself.

This module is the public door: `HeaderReader`, `Header`, `HeaderLimits`, `RawElement`, `read_header`.
"""

from __future__ import annotations

from vesalius.model.elements_header import Header, HeaderLimits, RawElement
from vesalius.model.elements_reader import HeaderReader, read_header

__all__ = ["Header", "HeaderLimits", "HeaderReader", "RawElement", "read_header"]
