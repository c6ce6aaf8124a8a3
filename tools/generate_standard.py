"""Generate `src/vesalius/standard/data/*.json` from pydicom's dictionaries.

pydicom's dictionaries are generated from the docbook of PS3.6 of one edition; that edition is pinned in
`standard/edition.py`. What newer editions added and real files already use stands in `SUPPLEMENT`.

Usage: python tools/generate_standard.py [--check]
`--check` writes nothing and exits with 1 if a file on disk is not what would be written.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pydicom import _version
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._uid_dict import UID_dictionary

DATA = Path(__file__).resolve().parent.parent / "src" / "vesalius" / "standard" / "data"

# UIDs of later editions: uid -> (name, type, retired).
SUPPLEMENT = {
    "1.2.840.10008.1.2.4.110": ("JPEG XL Lossless", "Transfer Syntax", 0),
    "1.2.840.10008.1.2.4.111": ("JPEG XL JPEG Recompression", "Transfer Syntax", 0),
    "1.2.840.10008.1.2.4.112": ("JPEG XL", "Transfer Syntax", 0),
    "1.2.840.10008.1.2.8.1": ("Deflated Image Frame Compression", "Transfer Syntax", 0),
    "1.2.840.10008.5.1.4.1.1.66.7": ("Label Map Segmentation Storage", "SOP Class", 0),
}


def dictionary() -> dict[str, object]:
    """Elements of PS3.6 and PS3.7: tag -> [VR, VM, keyword, name, retired]."""
    elements = {
        f"{tag:08X}": [vr, vm, keyword, name, int(bool(retired))]
        for tag, (vr, vm, name, retired, keyword) in sorted(DicomDictionary.items())
    }
    repeaters = {
        mask.upper().replace("X", "x"): [vr, vm, keyword, name, int(bool(retired))]
        for mask, (vr, vm, name, retired, keyword) in sorted(RepeatersDictionary.items())
    }
    return {"edition": _version.__dicom_version__, "elements": elements, "repeaters": repeaters}


def uids() -> dict[str, object]:
    """UIDs of PS3.6 annex A: uid -> [name, type, retired]."""
    table = {uid: [name, kind, int(bool(retired))] for uid, (name, kind, _, retired, _) in UID_dictionary.items()}
    for uid, row in SUPPLEMENT.items():
        table.setdefault(uid, list(row))
    return {"edition": _version.__dicom_version__, "uids": dict(sorted(table.items()))}


def render(content: dict[str, object]) -> str:
    """JSON with one table row a line, so that a new edition makes a readable diff."""
    parts = []
    for key, value in content.items():
        if isinstance(value, dict):
            rows = ",\n".join(
                f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'), ensure_ascii=False)}" for k, v in value.items()
            )
            parts.append(f"{json.dumps(key)}:{{\n{rows}\n}}")
        else:
            parts.append(f"{json.dumps(key)}:{json.dumps(value)}")
    return "{" + ",\n".join(parts) + "}\n"


def files() -> dict[Path, str]:
    """Every generated file with its content."""
    return {DATA / "dictionary.json": render(dictionary()), DATA / "uids.json": render(uids())}


def main() -> int:
    """Write the files, or with `--check` compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    stale = [path for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if arguments.check:
        for path in stale:
            sys.stderr.write(f"{path.name} is stale: run python tools/generate_standard.py\n")
        return 1 if stale else 0
    DATA.mkdir(parents=True, exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
