"""Requests made of what the OpenAPI promises, right and wrong ones: none ends in a 500."""

from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.running import npy

FILES = [
    npy(),
    npy(3),
    npy()[:90],
    b"",
    b"text",
    b"GIF89a\x01\0\x01\0",
    b"\0\0\0\x20ftypisom" + bytes(40),
]
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
WILD = st.one_of(
    WORDS,
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["", "null", "[]", "%", "../x"]),
)


def values(schema):
    """Strings for a parameter: what it allows, mostly, and anything."""
    kinds = [one.get("type") for one in schema.get("anyOf", [schema])]
    bounds = {k: v for one in schema.get("anyOf", [schema]) for k, v in one.items() if "imum" in k}
    low, high = bounds.get("minimum", 0), bounds.get("maximum", 100)
    right = st.sampled_from(schema.get("enum") or ["x"])
    if "integer" in kinds:
        right = st.integers(low - 1, min(high, 20) + 1).map(str)
    elif "boolean" in kinds:
        right = st.sampled_from(["true", "false", "1", "maybe"])
    return st.one_of(right, right, right, WILD)


def requests(spec):
    """Any request: method, path, query, content."""
    made = []
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            parameters = operation.get("parameters", [])
            query = {p["name"]: values(p["schema"]) for p in parameters if p["in"] == "query"}
            places = {p["name"]: values(p["schema"]) for p in parameters if p["in"] == "path"}
            upload = st.sampled_from(FILES) if "requestBody" in operation else st.none()
            wrong = st.dictionaries(WORDS, WILD, max_size=1)
            parts = (st.just(method), st.just(path), st.fixed_dictionaries(places))
            made.append(st.tuples(*parts, st.fixed_dictionaries({}, optional=query), wrong, upload))
    odd = st.tuples(
        st.sampled_from(["post", "put", "get", "delete", "options", "head"]),
        WORDS.map(lambda text: "/v1/" + text), st.just({}), st.just({}), st.just({}), st.none(),
    )  # fmt: skip
    return st.one_of(*made, *made, odd)


def send(client, request):
    method, path, places, query, wrong, upload = request
    for name, value in places.items():
        path = path.replace(f"{{{name}}}", value)
    path = "/" + quote(path[1:], safe="/")
    files = None if upload is None else {"video": ("a", upload)}
    try:
        return client.request(method, path, params={**query, **wrong}, files=files)
    except httpx.TransportError as error:
        raise AssertionError(f"{error!r} {request!r}") from None


def fuzz(client, examples):
    spec = client.get("/v1/openapi.json").json()
    failed, statuses = [], set()

    @settings(max_examples=examples, suppress_health_check=[*HealthCheck], database=None)
    @given(requests(spec))
    def run(request):
        status = send(client, request).status_code
        statuses.add(status)
        if status >= 500:
            failed.append((status, request))

    run()
    return failed, statuses


def test_no_request_breaks_the_server(client):
    failed, statuses = fuzz(client, 50)
    assert failed == []
    assert {200, 400, 404} <= statuses


def test_a_fault_would_be_found(client, monkeypatch):
    async def broken(*_, **__):
        raise RuntimeError("a fault")

    monkeypatch.setattr(client.kitchen, "do", broken)
    failed, _ = fuzz(client, 10)
    assert failed


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_ten_thousand_requests(client):
    failed, _ = fuzz(client, 10_000)
    assert failed == []
