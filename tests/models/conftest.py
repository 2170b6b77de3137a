"""Keras on the torch backend, imported once for all tests here: it takes seconds."""

import pytest
import torch


@pytest.fixture(scope="session")
def keras(tmp_path_factory):
    before = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        module = pytest.importorskip("keras")
    if module.backend.backend() != "torch":
        pytest.skip("keras was imported with another backend")
    after = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    assert after == before, "keras changed how torch works for the other tests"
    assert torch.is_grad_enabled()
    return module
