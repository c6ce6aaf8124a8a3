"""Which processor a worker keeps to, and when it keeps to none."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
import pytest

from vesalius.app import affinity
from vesalius.app.settings import ServerSettings, Settings


def settings(**server: object) -> Settings:
    return msgspec.structs.replace(Settings(), server=ServerSettings(**server))  # type: ignore[arg-type]


@pytest.mark.parametrize("service", range(5))
def test_each_worker_has_a_processor_of_its_own(service: int) -> None:
    allowed = {2, 3, 5, 7}
    homes = [affinity.processor_for(settings(workers=4), number, service, allowed) for number in range(4)]
    assert sorted(homes) == [2, 3, 5, 7]  # type: ignore[type-var]


def test_services_of_one_machine_begin_at_different_processors() -> None:
    first = {affinity.processor_for(settings(workers=1), 0, service, {0, 1, 2, 3}) for service in range(4)}
    assert first == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("server", "allowed"),
    [({"workers": 3}, {0, 1}), ({"workers": 1}, {0}), ({"workers": 2, "pin_workers": False}, {0, 1})],
)
def test_nothing_is_pinned_without_room_for_it(server: dict[str, object], allowed: set[int]) -> None:
    assert affinity.processor_for(settings(**server), 0, 0, allowed) is None


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("cpu.max", "max 100000\n", False),
        ("cpu.max", "200000 100000\n", True),
        ("cpu/cpu.cfs_quota_us", "-1\n", False),
        ("cpu/cpu.cfs_quota_us", "150000\n", True),
        ("unrelated", "", False),
    ],
)
def test_a_processor_quota_is_seen(tmp_path: Path, name: str, text: str, expected: bool) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert affinity.has_quota(tmp_path) is expected


def test_threads_follow_unless_they_are_set_free() -> None:
    allowed = os.sched_getaffinity(0)
    found: list[set[int]] = []

    def keep() -> None:
        affinity.keep_to(min(allowed))
        affinity.keep_to(1 << 12)  # there is no such processor: nothing changes
        child = threading.Thread(target=lambda: found.append(os.sched_getaffinity(0)))
        child.start()
        child.join()
        affinity.free_again(allowed)
        found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=keep)
    thread.start()
    thread.join()
    assert found == [{min(allowed)}, allowed]
    assert os.sched_getaffinity(0) == allowed
