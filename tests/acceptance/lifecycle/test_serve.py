"""`vesalius serve` from its first line to its last: what is open, what restarts, what ends and how."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from tests.support.dcmtk import free_port, run
from tests.support.generate import write_study
from tests.support.patience import assert_within, patient
from tests.support.server import AET, Server, listing, running_server, start_server, vesalius


def children(server: Server, kind: str) -> list[psutil.Process]:
    return [one for one in psutil.Process(server.process.pid).children() if one.name() == f"vesalius-{kind}"]


def until(condition: Callable[[], object], timeout: float = 15) -> None:
    end = time.monotonic() + patient(timeout)
    while not condition():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.03)


def events(server: Server) -> list[dict[str, object]]:
    return [json.loads(line) for line in server.log_text().splitlines() if line.startswith("{")]


def echo(port: int) -> bool:
    return run("echoscu", "-aec", AET, "127.0.0.1", str(port), check=False).returncode == 0


def refused(*args: str, **env: str) -> str:
    """`serve` must end by itself with exit code 2; gives what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "vesalius", "serve", *args],
        capture_output=True, text=True, timeout=20, env={**os.environ, **env},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with running_server(tmp_path_factory.mktemp("serve"), workers=2) as one:
        yield one


def test_it_is_ready_within_two_seconds_on_an_empty_archive(server: Server) -> None:
    ready = next(event for event in events(server) if event["event"] == "ready")
    assert ready["workers"] == 2 and ready["ae_title"] == AET
    assert float(str(ready["seconds"])) < patient(2)


def test_health_ready_metrics_and_the_page_answer(server: Server) -> None:
    assert server.get("/health") == (200, '{"status":"alive"}')
    assert server.get("/ready") == (200, '{"status":"ready","problems":[]}')
    status, page = server.get("/system")
    assert status == 200 and f"{AET}@127.0.0.1:{server.dimse_port}" in page
    status, metrics = server.get("/metrics")
    assert status == 200 and "vesalius_ready 1.0" in metrics


def test_what_workers_do_is_counted_over_all_of_them(server: Server, tmp_path: Path) -> None:
    write_study(tmp_path / "s", study="metrics", instances=4)
    for _ in range(4):
        run("storescu", "-aec", AET, "+sd", "127.0.0.1", str(server.dimse_port), tmp_path / "s")
    lines = server.get("/metrics")[1].splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(counts['vesalius_instances_total{verdict="stored"}']) == 4
    assert float(counts['vesalius_instances_total{verdict="duplicate"}']) == 12
    assert float(counts['vesalius_dimse_responses_total{service="C-STORE",status="0000"}']) == 16
    assert float(counts["vesalius_sync_seconds_count"]) >= 1
    assert float(counts["vesalius_store_free_bytes"]) > 0
    until(lambda: "vesalius_associations_open 0.0" in server.get("/metrics")[1])


def test_every_log_line_is_json_without_patient_data(server: Server, tmp_path: Path) -> None:
    write_study(tmp_path / "s", study="log", instances=2, patient_name="Secretname^X", patient_id="SECRETID")
    run("storescu", "-aec", AET, "+sd", "127.0.0.1", str(server.dimse_port), tmp_path / "s")
    text = server.log_text()
    for line in text.splitlines():
        json.loads(line)
    assert "Secretname" not in text and "SECRETID" not in text


def test_a_hostile_ae_title_stays_inside_its_log_line(server: Server) -> None:
    before = len(server.log_text().splitlines())
    run("echoscu", "-aet", "\x1b[2JX\r\n{}", "-aec", AET, "127.0.0.1", str(server.dimse_port), check=False)
    for line in server.log_text().splitlines()[before:]:
        json.loads(line)
        assert "\x1b" not in line


def test_only_loopback_is_open(server: Server) -> None:
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    listening = {c.laddr for one in family for c in one.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == {server.dimse_port, server.http_port}


def test_the_port_is_shared_by_all_workers(server: Server) -> None:
    listening = [
        one.pid
        for one in children(server, "dimse")
        if any(
            c.status == psutil.CONN_LISTEN and c.laddr.port == server.dimse_port for c in one.net_connections("inet")
        )
    ]
    assert len(listening) == 2


def test_all_processes_together_are_small(server: Server) -> None:
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    resident = sum(one.memory_full_info().pss for one in family)
    assert resident < 300e6, f"{resident / 1e6:.0f} MB"


def test_a_second_service_on_the_same_data_is_refused(server: Server) -> None:
    said = refused("--data", str(server.data), "--dimse-port", "0", "--http-port", "0")
    assert "already served" in said and "data" in said
    assert echo(server.dimse_port)


def test_a_taken_port_is_refused_by_name(server: Server, tmp_path: Path) -> None:
    said = refused("--data", str(tmp_path / "d"), "--dimse-port", str(server.dimse_port), "--http-port", "0")
    assert str(server.dimse_port) in said and "cannot listen" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_network_address_without_tls_is_refused_before_anything_is_open(tmp_path: Path, host: str) -> None:
    said = refused("--data", str(tmp_path / "d"), "--host", host, "--dimse-port", "0", "--http-port", "0")
    assert "server.host" in said and "--insecure-plain-dicom" in said
    assert not (tmp_path / "d").exists()


def test_http_on_a_network_address_is_refused_as_well(tmp_path: Path) -> None:
    assert "server.http_host" in refused("--data", str(tmp_path / "d"), "--http-host", "0.0.0.0")


def test_a_wrong_setting_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    assert "limits.artim" in refused("--data", str(tmp_path / "d"), "--set", "limits.artin=3")
    assert "server.dimse_port" in refused(VESALIUS_SERVER_DIMSE_PORT="many")
    (tmp_path / "bad.toml").write_text("[server]\nhosst = 'x'\n")
    assert "server.host" in refused("--config", str(tmp_path / "bad.toml"))


def test_a_plain_port_on_every_address_works_when_it_is_said_aloud(tmp_path: Path) -> None:
    with running_server(tmp_path, "--insecure-plain-dicom", "--host", "0.0.0.0") as one:
        # Off loopback an unknown caller is nobody, even when it comes from this machine.
        assert not echo(one.dimse_port)
        vesalius("peers", "add", "ME", "127.0.0.1", "104", "--aet", "ECHOSCU", data=one.data)
        until(lambda: echo(one.dimse_port), 5)


def test_a_killed_worker_is_started_again_and_nothing_else_notices(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=2) as one:
        write_study(tmp_path / "s", instances=3)
        run("storescu", "-aec", AET, "+sd", "127.0.0.1", str(one.dimse_port), tmp_path / "s")
        before = {child.pid for child in children(one, "dimse")}
        victim = next(iter(before))
        os.kill(victim, signal.SIGKILL)
        until(lambda: len({c.pid for c in children(one, "dimse")} - {victim}) == 2)
        one.wait_ready()
        after = {child.pid for child in children(one, "dimse")}
        assert len(before & after) == 1
        assert echo(one.dimse_port)
        assert 'vesalius_process_restarts{kind="dimse"' in one.get("/metrics")[1]
        assert any(event["event"] == "process-ended" and event["how"] == "signal SIGKILL" for event in events(one))
        assert len(listing("find", "--level", "image", data=one.data)) == 3


def test_a_killed_web_process_is_started_again(tmp_path: Path) -> None:
    with running_server(tmp_path) as one:
        os.kill(children(one, "web")[0].pid, signal.SIGKILL)

        def answers() -> bool:
            try:
                return one.get("/health")[0] == 200
            except OSError:
                return False

        try:
            until(answers)
        except AssertionError as error:
            error.add_note(one.log_text()[-6000:])
            raise
        assert echo(one.dimse_port)


def test_ready_says_no_while_a_worker_is_down(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=1) as one:
        os.kill(children(one, "dimse")[0].pid, signal.SIGSTOP)
        assert one.get("/ready")[0] == 200, "a stopped process cannot be told from a busy one"
        os.kill(children(one, "dimse")[0].pid, signal.SIGKILL)
        until(lambda: any(event["event"] == "process-restarted" for event in events(one)))
        one.wait_ready()


def test_when_the_supervisor_is_killed_no_process_stays_behind(tmp_path: Path) -> None:
    one = start_server(tmp_path / "data", workers=2)
    family = psutil.Process(one.process.pid).children(recursive=True)
    one.process.kill()
    one.process.wait()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    # And the data can be served again at once.
    again = start_server(tmp_path / "data", workers=1)
    assert again.stop() == 0


def test_sigterm_lets_a_running_association_end_and_refuses_new_ones(tmp_path: Path) -> None:
    with running_server(tmp_path, "--set", "server.grace=15") as one:
        ae = AE()
        ae.add_requested_context(Verification)
        assoc = ae.associate("127.0.0.1", one.dimse_port, ae_title=AET)
        assert assoc.is_established
        one.process.send_signal(signal.SIGTERM)
        until(lambda: one.get("/ready")[0] == 503)
        assert "shutting down" in one.get("/ready")[1]
        late = ae.associate("127.0.0.1", one.dimse_port, ae_title=AET)
        assert late.is_rejected
        assert (late.acceptor.primitive.result, late.acceptor.primitive.result_source) == (2, 3)
        assert late.acceptor.primitive.diagnostic == 1
        assert assoc.send_c_echo().Status == 0
        assoc.release()
        assert one.process.wait(patient(10)) == 0


def test_after_the_grace_what_still_runs_is_aborted(tmp_path: Path) -> None:
    with running_server(tmp_path, "--set", "server.grace=0.5") as one:
        ae = AE()
        ae.add_requested_context(Verification)
        assoc = ae.associate("127.0.0.1", one.dimse_port, ae_title=AET)
        began = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(patient(10)) == 0
        assert_within(began, 8)
        until(lambda: assoc.is_aborted)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path, "--set", "server.grace=60") as one:
        ae = AE()
        ae.add_requested_context(Verification)
        assoc = ae.associate("127.0.0.1", one.dimse_port, ae_title=AET)
        one.process.send_signal(signal.SIGINT)
        time.sleep(0.6)
        assert one.process.poll() is None
        one.process.send_signal(signal.SIGINT)
        assert one.process.wait(patient(5)) == 0
        assoc.abort()


def test_ports_of_zero_take_free_ones_and_say_which(tmp_path: Path) -> None:
    one = start_server(tmp_path / "data", "--dimse-port", "0", "--http-port", "0", ready=False)
    try:
        state = tmp_path / "data" / "run" / "serve.json"
        until(state.exists)
        found = json.loads(state.read_text())
        assert echo(found["dimse"][0]["port"])
        with socket.create_connection(("127.0.0.1", found["http"]["port"]), timeout=5):
            pass
        assert found["pid"] == one.process.pid
    finally:
        assert one.stop() == 0
    assert not state.exists()


def test_a_database_that_cannot_be_reached_ends_the_start_with_a_word(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vesalius", "serve", "--data", str(tmp_path / "d"), "--dimse-port", "0", "--http-port",
         "0", "--database", f"postgresql://nobody@127.0.0.1:{free_port()}/none"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "prepare-failed" in done.stderr


def test_a_crash_is_recovered_at_the_next_start_and_told(tmp_path: Path) -> None:
    one = start_server(tmp_path / "data")
    write_study(tmp_path / "s", instances=5)
    run("storescu", "-aec", AET, "+sd", "127.0.0.1", str(one.dimse_port), tmp_path / "s")
    one.kill()
    with running_server(tmp_path) as again:
        told = next(event for event in events(again)[::-1] if event["event"] == "recovered")
        assert int(str(told["packs"])) >= 1
        assert len(listing("find", "--level", "image", data=again.data)) == 5
