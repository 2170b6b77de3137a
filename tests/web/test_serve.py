"""`framecast serve` as a user types it, and the example that is a hosted Space."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from framecast.cli import main
from tests.web.running import Pretender, running

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "lets other machines in: set --token"),
        (["--host", "nowhere.invalid", "--token", "t" * 12], "cannot be listened at: give an add"),
        (["--token", "short"], "--token is short of 12 plain characters"),
        (["conv_lstm", "--port", "0"], "conv_lstm has to be trained first"),
    ],
)
def test_what_cannot_be_served_ends_in_one_line(monkeypatch, capfd, words, said):
    monkeypatch.setattr(sys, "argv", ["framecast", "serve", *words])
    with pytest.raises(SystemExit) as end:
        main()
    err = capfd.readouterr().err
    assert end.value.code == 2
    assert said in err
    assert "Traceback" not in err


def test_it_tells_its_address_and_ends_with_ctrl_c():
    command = [sys.executable, "-m", "framecast", "serve", "--port", "0"]
    token = ["--token", "a+b/c [red]%20=="]
    process = subprocess.Popen([*command, *token], stdout=subprocess.PIPE, text=True)
    said = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert "http://127.0.0.1:" in said
    assert "/#token=a%2Bb%2Fc%20%5Bred%5D%2520%3D%3D (Ctrl-C" in said


def test_a_port_that_is_taken_is_told(monkeypatch, capfd):
    with running(kitchen=Pretender()) as client:
        port = str(client.base_url.port)
        monkeypatch.setattr(sys, "argv", ["framecast", "serve", "--port", port])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 2
    assert f"--port {port} is taken: choose another" in capfd.readouterr().err


def test_the_process_that_answers_has_no_torch():
    code = "import sys, framecast.web.serve; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_space_runs_the_same_app():
    place = ROOT / "examples" / "space" / "app.py"
    spec = importlib.util.spec_from_file_location("space_app", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with running(app=module.app, wait=False) as client:
        assert client.get("/", headers={"host": "me-framecast.hf.space"}).status_code == 200
        answer = client.get("/v1/openapi.json", headers={"origin": "https://hf.co"})
        assert "/v1/forecast" in answer.json()["paths"]
