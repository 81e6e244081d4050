import pytest
import torch

# The networks here are tiny: more threads only get in each other's way.
torch.set_num_threads(1)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def double():
    """Runs a test in float64, in which equality to 1e-10 has a meaning."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
