"""The API against its own description: validated, and asked by schemathesis at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi import checks
from starlette.routing import Route
from starlette.testclient import TestClient

from photoramd.database.connection import Database
from photoramd.web import api, media, openapi
from photoramd.web.app import make_app
from tests.integration.test_api import API, site_on
from tests.support.known_photos import fill

DOCUMENT = openapi.document()
OPERATIONS = sorted(
    (path, method) for path, methods in DOCUMENT["paths"].items() for method in methods
)

# A status that is not described, such as 500, is an error; 503 is described.
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
NEGATIVE_CHECKS = [*CHECKS, checks.negative_data_rejection]


def test_the_description_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_all_routes_are_described() -> None:
    routes: list[Route] = [*api.ROUTES, *media.ROUTES]
    described = {path.replace("{id}", "{}") for path in DOCUMENT["paths"]}
    served = {route.path.replace("{id}", "{}").replace("{photo_id:int}", "{}") for route in routes}
    assert described == served


def test_each_operation_and_each_parameter_has_its_words() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(names) == len(set(names))
    for name, operation in operations():
        assert operation["summary"].endswith("."), name


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, method in OPERATIONS:
        yield f"{method} {path}", DOCUMENT["paths"][path][method]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseSchema]:
    """The description as a real application sends it, which answers, too."""
    path = tmp_path_factory.mktemp("state") / "photoramd.db"
    with Database(path) as database:
        fill(database)
        app = make_app(site_on(path))
        with TestClient(app):
            yield schemathesis.openapi.from_asgi(f"{API}/openapi.json", app)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_whatever_is_asked_is_answered_as_described(
    schema: BaseSchema, path: str, method: str, mode: GenerationMode
) -> None:
    operation = schema[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
        return  # there is nothing to get wrong

    @settings(max_examples=8)
    @given(operation.as_strategy(generation_mode=mode))
    def agree(case: schemathesis.Case) -> None:
        response = case.call()
        case.validate_response(
            response, checks=CHECKS if mode is GenerationMode.POSITIVE else NEGATIVE_CHECKS
        )

    agree()
