"""What the service tells of itself is what it serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from starlette.routing import Mount, Route
from tests.support.web import Web, web

from vesalius.archive.uploads import SpoolSettings
from vesalius.web import openapi
from vesalius.web.capabilities import NAMESPACE, route_paths
from vesalius.web.transactions import TRANSACTIONS


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    with web(folder, uploads=SpoolSettings(folder / "uploads")) as made:
        yield made


def below(served: Web, prefix: str) -> set[tuple[str, str]]:
    """(method, path) of the routes that hang under a prefix, OPTIONS and the root left out."""
    mount = next(route for route in served.app.routes if isinstance(route, Mount) and route.path == prefix)
    return {
        (method, route.path)
        for route in mount.routes
        if isinstance(route, Route) and route.path != "/"
        for method in route.methods or ()
        if method not in ("OPTIONS", "HEAD")
    }


def test_every_resource_is_told_of_and_every_one_that_is_told_of_is_served(served: Web) -> None:
    assert below(served, "/dicom-web") == route_paths(TRANSACTIONS)


def test_options_of_the_service_is_wadl_with_every_resource(served: Web) -> None:
    answer = served.dicom_web("/", "OPTIONS")
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/vnd.sun.wadl+xml")
    root = ElementTree.fromstring(answer.body)
    resources = root.find(f"{{{NAMESPACE}}}resources")
    assert resources is not None and resources.get("base") == "http://archive.test/dicom-web/"
    told = {
        (method.get("name"), "/" + str(resource.get("path")))
        for resource in resources
        for method in resource.findall(f"{{{NAMESPACE}}}method")
    }
    assert told == {(one.method, one.path) for one in TRANSACTIONS}


def test_options_says_the_same_as_json(served: Web) -> None:
    answer = served.dicom_web("/", "OPTIONS", {"Accept": "application/json"})
    told = {(one["method"], each["path"]) for each in answer.json()["resources"] for one in each["methods"]}
    assert told == {(one.method, one.path) for one in TRANSACTIONS}
    assert served.dicom_web("/", headers={"Accept": "application/json"}).json() == answer.json()


def test_options_of_one_resource_tells_of_it_alone(served: Web) -> None:
    answer = served.dicom_web("/studies/1.2.3", "OPTIONS", {"Accept": "application/json"})
    assert [each["path"] for each in answer.json()["resources"]] == ["/studies/{study}"]
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, POST"
    assert served.dicom_web("/nothing", "OPTIONS").status == 404
    assert served.dicom_web("/studies", "OPTIONS", {"Accept": "image/png"}).status == 406


def test_the_openapi_document_holds_every_operation_of_our_own(served: Web) -> None:
    paths = served.ask("/api/openapi.json").json()["paths"]
    told = {(method.upper(), path) for path, one in paths.items() for method in one if method != "head"}
    ours = {(method, "/api" + path) for method, path in below(served, "/api")}
    assert ours <= told
    assert told - ours == {("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics")}
    assert openapi.operations(served.ctx)


def test_without_uploads_none_are_told_of(tmp_path: Path) -> None:
    with web(tmp_path) as made:
        assert not [path for path in made.ask("/api/openapi.json").json()["paths"] if "upload" in path]
