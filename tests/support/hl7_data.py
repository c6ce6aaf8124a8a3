"""The real HL7 messages beside the repository, and small ones made by hand."""

from __future__ import annotations

from tests.support.data import shared_data

_FOLDER = shared_data()
_MESSAGES = _FOLDER / "hl7" / "microsoft-fhir-converter" if _FOLDER else None

REAL: list[str] = sorted(path.name for path in _MESSAGES.glob("*.hl7")) if _MESSAGES else []


def real_bytes(name: str) -> bytes:
    """A real message as its file has it."""
    if _MESSAGES is None:
        raise AssertionError("the real data are not beside this checkout (set VESALIUS_SHARED)")
    return (_MESSAGES / name).read_bytes()


def real_text(name: str) -> str:
    """A real message, decoded; a byte order mark stays."""
    return real_bytes(name).decode("utf_8")
