"""What the settings allow, as the arguments of the parts that keep to it: edges, questions, headers, media, uploads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.app.settings import Settings

if TYPE_CHECKING:
    from vesalius.archive.media import MediaLimits
    from vesalius.archive.uploads import SpoolSettings
    from vesalius.dimse.services import DimseSettings
    from vesalius.model.elements import HeaderLimits
    from vesalius.model.query import QueryLimits


def dimse_settings(settings: Settings, *, allow_unknown: bool = False) -> DimseSettings:
    """What the DIMSE edge needs of the settings."""
    from vesalius.dimse.services import DimseSettings

    limits = settings.limits
    return DimseSettings(
        ae_title=settings.server.ae_title,
        any_called_ae_title=settings.server.any_called_ae_title,
        allow_unknown=allow_unknown,
        check_addresses=settings.server.check_peer_addresses,
        associations=limits.associations,
        connections=limits.connections,
        operations=limits.operations,
        identifier_size=limits.identifier_size,
        query=query_limits(settings),
        artim=limits.artim,
        idle=limits.idle,
        network=limits.network,
        connect=limits.connect,
        response=limits.response,
        max_pdu=limits.max_pdu,
        sub_operations=limits.sub_operations,
        retrieve_memory=limits.retrieve_memory,
        large_transcodings=limits.large_transcodings,
        move_pipelines=limits.move_pipelines,
        reuse=limits.reuse,
        pending_interval=limits.pending_interval,
        threads=limits.threads,
    )


def header_limits(settings: Settings) -> HeaderLimits:
    """What indexing one data set may cost: on its way in, at a recovery and when the index is made again."""
    from vesalius.model.elements import HeaderLimits

    limits = settings.limits
    return HeaderLimits(
        kept_bytes=limits.header_size,
        elements=limits.elements,
        inflated_bytes=limits.inflated_size,
        inflated_ratio=limits.inflated_ratio,
        depth=limits.sequence_depth,
    )


def query_limits(settings: Settings) -> QueryLimits:
    """How much matching one question may ask for."""
    from vesalius.model.query import QueryLimits

    limits = settings.limits
    return QueryLimits(limits.query_wildcards, limits.query_patterns, limits.query_pattern_size)


def media_limits(settings: Settings) -> MediaLimits:
    """What one ZIP archive or DICOMDIR may cost."""
    from vesalius.archive.media import MediaLimits

    limits = settings.limits
    return MediaLimits(limits.zip_entries, limits.zip_size, limits.zip_ratio, limits.dicomdir_size)


def spool_settings(settings: Settings) -> SpoolSettings:
    """Where uploads wait, and how much of them."""
    from vesalius.archive.uploads import SpoolSettings

    web = settings.web
    return SpoolSettings(
        folder=Path(settings.data) / "run" / "uploads",
        size=web.upload_size,
        quota=web.upload_quota,
        expiry=web.upload_expiry,
        media=media_limits(settings),
    )
