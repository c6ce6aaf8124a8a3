"""Floor 1: bytes to messages and back, without I/O and without a clock (sans-IO)."""
