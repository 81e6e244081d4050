import copy
import pickle

import pytest

from snn_gan_ext.errors import InputError, NonFiniteInput


@pytest.mark.parametrize("kind", [InputError, NonFiniteInput])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_an_error_survives_a_copy_and_another_process(kind, copied):
    error = kind("end", expected="0 or more", got="-1", cure="take 0")
    twin = copied(error)
    assert type(twin) is kind
    assert str(twin) == str(error) == "end: expected 0 or more, got -1; take 0"
    assert twin.subject == "end"


def test_an_error_within_a_place_names_it():
    error = InputError("end", expected="0 or more", got="-1").within("lr").within("learner")
    assert str(error) == "learner.lr.end: expected 0 or more, got -1"
