"""Weights from and to the hub, held to a stand-in of its HTTP on this machine."""

import json
import shutil

import pytest
import torch

from framecast.checkpoint import CONFIG, WEIGHTS, hub, load, save
from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.publish import Said, pack, push
from framecast.web.catalog import Catalog
from tests.checkpoint import hostile_models
from tests.publish.hub_stand_in import TOKEN, Hub, serving

constants = pytest.importorskip("huggingface_hub.constants")
TINY = {"hidden": (3,), "patch": 2, "motion": 0}
SAID = Said("apache-2.0")


def tiny(seed=0):
    torch.manual_seed(seed)
    return build_model("conv_lstm", TINY, Task(1, 16, 16, 2, 2))


def same(one, two):
    state = two.state_dict()
    return all(torch.equal(state[key], value) for key, value in one.state_dict().items())


@pytest.fixture
def far(monkeypatch, tmp_path):
    """A hub of which this process knows nothing yet, and an empty cache."""
    there = Hub()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    with serving(there) as address:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        hub.fetch.cache_clear()
        yield there
    hub.fetch.cache_clear()


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_pushed_is_loaded(far, monkeypatch, tmp_path):
    save(tiny(), tmp_path / "run", {"data": {"name": "folder", "root": "/home/me/films"}})
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert push(tmp_path / "run", "me/tiny", SAID) == "hf://me/tiny"
    files = far.repos["me/tiny"][-1][1]
    assert {*files} == {CONFIG, WEIGHTS, "README.md", "preview.gif"}
    assert files["preview.gif"].startswith(b"GIF89a")
    assert not any(b"/home/me" in content or b"root" in content for content in files.values())
    assert b'framecast.load("hf://me/tiny")' in files["README.md"]
    monkeypatch.delenv("HF_TOKEN")
    assert same(load("hf://me/tiny"), tiny())
    asked = [path for _, path in far.asked if "/resolve/" in path]
    assert {path.rpartition("/")[2] for path in asked} == {CONFIG, WEIGHTS}


def test_a_repository_that_all_can_see_does_not_become_private(far, monkeypatch, tmp_path):
    save(tiny(), tmp_path / "run")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    push(tmp_path / "run", "me/hidden", SAID, private=True)
    push(tmp_path / "run", "me/hidden", SAID, private=True)
    push(tmp_path / "run", "me/open", SAID)
    commits = len(far.repos["me/open"])
    with pytest.raises(InputError, match="is there already, for all to see: make it private"):
        push(tmp_path / "run", "me/open", SAID, private=True)
    assert len(far.repos["me/open"]) == commits


def test_a_packed_folder_keeps_its_card_and_its_half_size(far, monkeypatch, tmp_path):
    save(tiny(), tmp_path / "run")
    packed = pack(tmp_path / "run", tmp_path / "packed", Said("cc-by-4.0", "Only squares."))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    push(packed.folder, "me/tiny", None)
    files = far.repos["me/tiny"][-1][1]
    assert files["README.md"] == (packed.folder / "README.md").read_bytes()
    assert files[WEIGHTS] == (packed.folder / WEIGHTS).read_bytes()
    with pytest.raises(InputError, match="has no card: say --licence"):
        push(tmp_path / "run", "me/tiny", None)


def test_a_revision_is_another_model(far, tmp_path):
    first = far.commit("me/tiny", files_of(save(tiny(0), tmp_path / "a")))
    far.commit("me/tiny", files_of(save(tiny(1), tmp_path / "b")))
    assert same(load(f"hf://me/tiny@{first}"), tiny(0))
    assert same(load("hf://me/tiny"), tiny(1))
    # On the page it has the name that was typed, and not that of a folder in the cache.
    assert Catalog(("hf://me/tiny",), None).offer("hf://me/tiny").task == tiny().task


def test_without_a_connection_the_cache_is_taken(far, monkeypatch, tmp_path):
    far.commit("me/tiny", files_of(save(tiny(), tmp_path / "a")))
    # As main, which is what the cache has to find again.
    load("hf://me/tiny")
    hub.fetch.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(far.asked)
    assert same(load("hf://me/tiny"), tiny())
    with pytest.raises(InputError, match="hf://me/other cannot be reached"):
        load("hf://me/other")
    assert len(far.asked) == asked


def test_nobody_answers(far, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"hf://me/tiny cannot be reached \(\w+\): check"):
        load("hf://me/tiny")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("hf://me/none", "not there, or not for you"),
        ("hf://me/tiny@v9", "not there, or not for you"),
        ("hf://me/empty", "has no config.json"),
        ("hf://me", "is no address"),
        ("hf://me/tiny@", "is no address"),
        ("hf://me/tiny@refs/../../x", "is no address"),
        ("hf://../etc/passwd", "is no address"),
        ("hf://../passwd", "is no address"),
        ("hf://me/ti ny", "is no address"),
        ("hf://me/ti--ny", "was not taken"),
    ],
)
def test_what_is_not_there_is_one_line(far, tmp_path, address, words):
    far.commit("me/tiny", files_of(save(tiny(), tmp_path / "a")))
    far.commit("me/empty", {"README.md": b"nothing"})
    with pytest.raises(InputError, match=words) as caught:
        load(address)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_hub_that_fails_is_one_line(far):
    far.status = 500
    with pytest.raises(InputError, match=r"hf://me/tiny .*\(HTTP 500\)"):
        load("hf://me/tiny")


def test_a_large_file_is_not_fetched(far, tmp_path):
    far.commit("me/tiny", files_of(save(tiny(), tmp_path / "a")))
    far.sizes = {CONFIG: hub.LIMITS[CONFIG] + 1}
    with pytest.raises(InputError, match="at most 1048576 are read"):
        load("hf://me/tiny")
    assert not any("/resolve/" in path for _, path in far.asked)


def test_a_strangers_repository_has_the_limits_of_a_folder(far, tmp_path):
    base = hostile_models.sound(tmp_path / "base")
    tried = 0
    for number, (_, config, weights) in enumerate(hostile_models.careless(base)):
        repo = f"evil/m{number}"
        far.commit(repo, {CONFIG: config, WEIGHTS: weights, "modeling.py": b"raise SystemExit"})
        with pytest.raises(InputError):
            load(f"hf://{repo}")
        tried += 1
    assert tried > 5
    assert not any("modeling" in path for _, path in far.asked)
    far.commit("good/m", files_of(base))
    load("hf://good/m")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ValueError("Invalid metadata.\n- license must be"),
            r"was not taken \(Invalid metadata. - ",
        ),
        (KeyError("url"), r"was not taken \('url'\)"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "ordinal"), "was not taken"),
    ],
)
def test_what_the_library_does_not_take_is_one_line(far, monkeypatch, tmp_path, error, words):
    def no(*_, **__):
        raise error

    save(tiny(), tmp_path / "run")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", no)
    with pytest.raises(InputError, match=words) as caught:
        push(tmp_path / "run", "me/tiny", SAID)
    assert "\n" not in str(caught.value)


def test_a_refusal_says_why_and_whether_later_helps(far, monkeypatch, tmp_path):
    save(tiny(), tmp_path / "run")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for status, words in ((400, "change what it does not take"), (503, "try again later")):
        far.status = status
        with pytest.raises(InputError, match=words):
            push(tmp_path / "run", "me/tiny", SAID)
    with pytest.raises(InputError, match="has no weights"):
        push("persistence", "me/tiny", SAID)


def test_push_needs_a_token_and_a_right_to_write(far, monkeypatch, tmp_path):
    save(tiny(), tmp_path / "run")
    with pytest.raises(InputError, match="needs a token: log in"):
        push(tmp_path / "run", "me/tiny", SAID)
    assert far.asked == []
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(InputError, match=r"HTTP 401"):
        push(tmp_path / "run", "me/tiny", SAID)
    with pytest.raises(InputError, match="is no name on the hub"):
        push(tmp_path / "run", "tiny", SAID)


def test_the_newest_sample_is_the_preview(far, monkeypatch, tmp_path):
    run = save(tiny(), tmp_path / "run")
    (run / "samples").mkdir()
    for step in (1, 2):
        (run / "samples" / f"step_{step:06d}.gif").write_bytes(b"GIF89a%d" % step)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    push(run, "me/tiny", SAID)
    assert far.repos["me/tiny"][-1][1]["preview.gif"] == b"GIF89a2"


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    hub.fetch.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'framecast\[hub\]'"):
        load("hf://me/tiny")


def test_nothing_else_contacts_the_hub(far, tmp_path):
    shutil.copytree(save(tiny(), tmp_path / "a"), tmp_path / "b")
    load(tmp_path / "b")
    load("persistence")
    pack(tmp_path / "b", tmp_path / "c", SAID)
    assert json.loads((tmp_path / "c" / CONFIG).read_text())["model"]["name"] == "conv_lstm"
    assert far.asked == []
