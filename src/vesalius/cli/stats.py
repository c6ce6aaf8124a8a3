"""`vesalius stats`: how much there is, of what, and where."""

from __future__ import annotations

from dataclasses import asdict

from vesalius.cli import options


def stats(json: options.Json = False, data: options.Data = None, config: options.Config = None) -> None:
    """Count what the archive holds: patients, studies, series, instances, bytes, packs, copies, findings.

    Examples:

      vesalius stats

      vesalius stats --data /srv/images --json
    """
    import shutil

    from vesalius.app.wiring import packs_folder
    from vesalius.cli import output

    with options.archive(data, config) as archive:
        totals = archive.index.totals()
        packs = archive.blobs.packs()
        free = shutil.disk_usage(packs_folder(archive.settings)).free
        places = archive.copy_lags()
        damaged = archive.index.damaged()
        outdated = archive.index.outdated()
    row = asdict(totals) | {
        "packs": len(packs),
        "pack_bytes": sum(pack.size for pack in packs),
        "open_packs": sum(pack.state == "open" for pack in packs),
        "suspect_packs": sum(pack.state == "suspect" for pack in packs),
        "dead_bytes": sum(pack.dead_bytes for pack in packs),
        "free_bytes": free,
        "copies_behind": places,
        "damaged_copies": len(damaged),
        "index_outdated": outdated,
    }
    if json:
        output.facts(row, json=True)
        return
    modalities = row.pop("by_modality")
    row["index"] = "older than this version's attributes: vesalius reindex" if row.pop("index_outdated") else "current"
    for name in ("bytes", "pack_bytes", "dead_bytes", "free_bytes"):
        row[name] = output.size(row[name])
    row["copies_behind"] = ", ".join(f"{name}: {output.size(lag)}" for name, lag in places.items()) or "no copies"
    row["modalities"] = ", ".join(f"{name or 'none'} {count}" for name, count in sorted(modalities.items()))
    output.facts(row, json=False)
