from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.archive import LocalArchive, local_archive


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[LocalArchive]:
    with local_archive(tmp_path / "archive") as opened:
        yield opened
