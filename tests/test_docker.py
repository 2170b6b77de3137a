"""The image cannot be built here: its files are read, and held to what they promise."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
IGNORE = (ROOT / ".dockerignore").read_text("utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text("utf-8")


def faults(dockerfile: str = DOCKERFILE, ignore: str = IGNORE, compose: str = COMPOSE) -> list[str]:
    """What is wrong with an image and its service, in words."""
    lines = [line for line in dockerfile.replace("\\\n", " ").splitlines() if line.strip()]
    steps = [line.split(maxsplit=1) for line in lines if not line.startswith("#")]
    let_in = {line[1:] for line in ignore.splitlines() if line.startswith("!")}
    copied = {name for step, rest in steps if step == "COPY" for name in rest.split()[:-1]}
    found = [f"{name} is missing" for name in copied if not (ROOT / name).exists()]
    found += [f"{name} is not let through" for name in copied - let_in]
    found += [f"{name} is let through for nothing" for name in let_in - copied]
    user = [rest for step, rest in steps if step == "USER"][-1:]
    (service,) = yaml.safe_load(compose)["services"].values()
    inside = [rest for step, rest in steps if step == "EXPOSE"]
    wanted = {
        "a fixed base": steps[0][0] == "FROM" and not steps[0][1].endswith((":latest", "python")),
        "a user without rights": user not in ([], ["root"], ["0"]),
        "a health check": any(step == "HEALTHCHECK" for step, _ in steps),
        "the port that is exposed": [port.split(":")[-1] for port in service["ports"]] == inside,
        "a root that is read-only": service.get("read_only") is True,
        "no capabilities": service.get("cap_drop") == ["ALL"],
        "no new privileges": "no-new-privileges:true" in service.get("security_opt", ()),
        "bounded memory": bool(service.get("mem_limit")) and bool(service.get("pids_limit")),
        "a token": "?" in service["environment"].get("FRAMECAST_TOKEN", ""),
    }
    return found + [what for what, is_so in wanted.items() if not is_so]


def test_nothing_is_wrong():
    assert faults() == []


@pytest.mark.parametrize(
    ("kind", "old", "new", "said"),
    [
        ("dockerfile", "COPY recipes", "COPY receipts", "receipts is missing"),
        ("dockerfile", "COPY weights", "COPY LOG.md weights", "LOG.md is not let through"),
        ("dockerfile", "USER framecast", "USER root", "a user without rights"),
        ("dockerfile", "HEALTHCHECK", "LABEL", "a health check"),
        ("dockerfile", "python:3.12-slim", "python:latest", "a fixed base"),
        ("ignore", "!weights", "", "weights is not let through"),
        ("ignore", "!weights", "!weights\n!tests", "tests is let through for nothing"),
        ("compose", "8000:8000", "8000:80", "the port that is exposed"),
        ("compose", "read_only: true", "read_only: false", "a root that is read-only"),
        ("compose", "cap_drop: [ALL]", "cap_drop: []", "no capabilities"),
        ("compose", "pids_limit: 256", "pids_limit: 0", "bounded memory"),
        ("compose", ":?set", ":-set", "a token"),
    ],
)
def test_each_fault_is_found(kind, old, new, said):
    text = {"dockerfile": DOCKERFILE, "ignore": IGNORE, "compose": COMPOSE}[kind]
    assert old in text
    assert said in faults(**{kind: text.replace(old, new)})
