"""`vesalius.open(...)`: series and volumes for notebooks and scripts, from an archive, a folder or another server.

Theory. Three kinds of places, one way to read: the data folder of an archive (its index and packs, while it serves or
not), any folder or file of DICOM, and the address of a DICOMweb service, from which a series is fetched into a
temporary folder as it is stored there and read like any other files. What comes out is plain: a NumPy array, an
affine, a unit.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from vesalius.model.errors import NoSuchInstance, SettingsError

if TYPE_CHECKING:
    import numpy.typing as npt

    from vesalius.app.wiring import Archive
    from vesalius.imaging.sources import SeriesSource
    from vesalius.imaging.space import Volume
    from vesalius.imaging.volumes import Irregular, Tilt, VolumePlan

Close = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a library."""

    source: SeriesSource

    @property
    def uid(self) -> str:
        """Series Instance UID."""
        return self.source.series

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.source.study

    def parts(
        self, wish: str = "natural", *, irregular: Irregular = "refuse", tilt: Tilt = "correct"
    ) -> tuple[VolumePlan, ...]:
        """The volumes that it holds, without their pixels: an echo, a b-value, a point in time each."""
        from vesalius.imaging.values import Wish
        from vesalius.imaging.volumes import parts

        return parts(self.source, Wish(wish), irregular=irregular, tilt=tilt)

    def volume(
        self,
        wish: str = "natural",
        *,
        part: int | None = None,
        irregular: Irregular = "refuse",
        tilt: Tilt = "correct",
        out: npt.NDArray[Any] | None = None,
    ) -> Volume:
        """Its volume: `values[k, j, i]`, `affine` (LPS mm), `unit`.

        `wish`: "natural" (HU, Bq/ml, Gy, as the images say), "stored", "suvbw", "suvlbm", "suvbsa", "rwv", ...
        `part`: which of several volumes, from 0. Raises `NoVolume`, `NoValue` with the reason.
        """
        from vesalius.imaging.values import Wish
        from vesalius.imaging.volumes import volume

        return volume(self.source, Wish(wish), part=part, irregular=irregular, tilt=tilt, out=out)


class Library:
    """A place where series are. Close it, or use it in a `with` statement."""

    def __init__(
        self, find: Callable[[str], SeriesSource], names: Callable[[], Sequence[str]], closing: Sequence[Close]
    ) -> None:
        self._find = find
        self._names = names
        self._closing = closing
        self._open: dict[str, Series] = {}

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files, processes and temporary folders."""
        closing, self._closing = self._closing, ()
        for close in closing:
            close()

    def series(self, uid: str) -> Series:
        """A series by its UID. Raises `NoSuchInstance`."""
        if uid not in self._open:
            self._open[uid] = Series(self._find(uid))
        return self._open[uid]

    def series_uids(self) -> list[str]:
        """The UIDs of all series with images."""
        return sorted(self._names())


def open_library(place: str | Path, *, config: Path | None = None) -> Library:
    """An archive's data folder, a folder or file of DICOM, or the address of a DICOMweb service (http, https).

    Raises `SettingsError` where there is nothing, `PeerUnreachable`.
    """
    if str(place).startswith(("http://", "https://")):
        return _remote(str(place))
    folder = Path(place)
    if not folder.exists():
        raise SettingsError(f"there is no {folder}", hint="Name the data folder of an archive, DICOM files, or an URL.")
    if config is not None or (folder / "index.db").is_file() or (folder / "vesalius.toml").is_file():
        return _archive(folder, config)
    return _files(folder)


def _archive(folder: Path, config: Path | None) -> Library:
    from vesalius.app.settings_load import load
    from vesalius.app.wiring import build

    archive = build(load({"data": str(folder)}, config=config), must_exist=True)
    return library_of(archive, (archive.close,))


def library_of(archive: Archive, closing: Sequence[Close] = ()) -> Library:
    """The series of an archive that is open already; `closing` is called when the library is closed."""
    from vesalius.archive.frames import Frames
    from vesalius.archive.search import SERIES_INSTANCE_UID
    from vesalius.imaging.sources import StoredSource
    from vesalius.model.entities import Level
    from vesalius.model.query import Query, Root

    frames = Frames(archive.blobs, archive.transcoder, archive.retrieve.coerce)

    def find(uid: str) -> SeriesSource:
        return StoredSource(list(archive.index.select(Level.SERIES, series=(uid,))), frames)

    def names() -> Sequence[str]:
        query = Query(Root.STUDY, Level.SERIES, (), frozenset({SERIES_INSTANCE_UID}))
        matches = (match.values for page in archive.index.find(query) for match in page)
        return [str(values[SERIES_INSTANCE_UID][0]) for values in matches if values.get(SERIES_INSTANCE_UID)]

    return Library(find, names, closing)


def _files(folder: Path) -> Library:
    from vesalius.backends.pixels_codecs import PixelCodecs
    from vesalius.imaging.sources import file_sources

    codecs = PixelCodecs()
    found = file_sources([folder], codecs)

    def find(uid: str) -> SeriesSource:
        if uid not in found:
            raise NoSuchInstance(f"there is no such series in {folder}")
        return found[uid]

    return Library(find, lambda: list(found), (codecs.close,))


def _remote(url: str) -> Library:
    from vesalius.app.series_dicomweb import RemoteSeries
    from vesalius.backends.pixels_codecs import PixelCodecs
    from vesalius.imaging.sources import file_sources

    codecs = PixelCodecs()
    folder = Path(tempfile.mkdtemp(prefix="vesalius-"))
    remote = RemoteSeries(url)

    def find(uid: str) -> SeriesSource:
        target = folder / str(len(list(folder.iterdir())))
        target.mkdir()
        remote.fetch(uid, target)
        found = file_sources([target], codecs)
        if uid not in found:
            raise NoSuchInstance("the service sent no image of this series")
        return found[uid]

    def clear() -> None:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)

    return Library(find, remote.names, (codecs.close, clear))
