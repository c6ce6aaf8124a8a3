"""Peers in the database: the one part of the index that no pack can tell again."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from vesalius.backends import schema
from vesalius.backends.database import Database, upsert
from vesalius.model.entities import Peer


def all_peers(database: Database) -> list[Peer]:
    """Every peer, by name. Raises `IndexUnavailable`."""

    def read(connection: sa.Connection) -> list[Peer]:
        statement = sa.select(schema.peer).order_by(schema.peer.c.name)
        return [peer_of(row) for row in connection.execute(statement).mappings()]

    return database.read(read)


def save(database: Database, peer: Peer) -> None:
    """Insert or update by name, durably. Raises `IndexUnavailable`."""
    values = {
        "name": peer.name,
        "host": peer.host,
        "port": peer.port,
        "aet": peer.aet,
        "rights": " ".join(sorted(peer.rights)),
        "move_to": json.dumps(peer.move_to),
        "tls": int(peer.tls),
        "refuse_conflicts": int(peer.refuse_conflicts),
        "comment": peer.comment,
        "duties": " ".join(sorted(peer.duties)),
    }
    database.write(lambda connection: upsert(connection, schema.peer, values))


def remove(database: Database, name: str) -> bool:
    """Forget a peer, durably; False if it was not known. Raises `IndexUnavailable`."""
    statement = sa.delete(schema.peer).where(schema.peer.c.name == name)
    return database.write(lambda connection: connection.execute(statement).rowcount > 0)


def peer_of(row: Any) -> Peer:
    """A peer from its row."""
    return Peer(
        name=row["name"],
        host=row["host"],
        port=row["port"],
        aet=row["aet"],
        rights=frozenset(row["rights"].split()),
        move_to=tuple(json.loads(row["move_to"])),
        tls=bool(row["tls"]),
        refuse_conflicts=bool(row["refuse_conflicts"]),
        comment=row["comment"],
        duties=frozenset(row["duties"].split()),
    )
