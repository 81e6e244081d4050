"""Decoders as settings."""

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.decoders import Counts, PooledRates, Rates, TimeSurface

SPIKES = torch.ones(4, 2, 3)


@pytest.mark.parametrize(
    "decode",
    [
        TimeSurface(decay=0.0),
        TimeSurface(decay=float("nan")),
        TimeSurface(decay="long"),
        PooledRates(width=0),
        PooledRates(width=3),
        PooledRates(width=2.0),
        PooledRates(width="a"),
        Counts(pools=()),
        Counts(pools=((3, 1),)),
        Counts(pools=(2, 1)),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(decode):
    with pytest.raises(InputError):
        decode(SPIKES[..., None, None] if isinstance(decode, Counts) else SPIKES)


@pytest.mark.parametrize(
    "spikes", [SPIKES[0, 0], SPIKES[:0], SPIKES.int(), SPIKES.bool(), [[1.0]], None]
)
@pytest.mark.parametrize("decode", [Rates(), TimeSurface(), PooledRates(), Counts()])
def test_what_are_no_spikes_is_refused(decode, spikes):
    with pytest.raises(InputError, match="spikes"):
        decode(spikes)
