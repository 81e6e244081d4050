import torch

from snn_gan_ext import plots


def test_every_panel_of_a_raster_grid_says_what_it_shows():
    spikes = torch.eye(6)
    figure = plots.raster_grid({"one": {"a": spikes, "b": spikes}, "two": {"c": spikes, "d": spikes}})
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", "d"]
    assert [axis.get_ylabel() for axis in figure.axes] == ["one", "", "two", ""]
    assert all(len(axis.collections[0].get_offsets()) == 6 for axis in figure.axes)


def test_a_comparison_counts_each_interval_once():
    spikes = torch.zeros(10, 2, 1)
    spikes[[0, 3, 6], 0] = 1
    spikes[[1, 5], 1] = 1
    figure = plots.spike_comparison({"ours": spikes, "theirs": spikes}, dt=1e-3)
    histogram = figure.axes[2].patches[0].get_xy()
    assert histogram[:, 1].max() == 2  # two intervals of 3 ms, one of 4 ms
    assert [axis.get_title() for axis in figure.axes[:2]] == ["ours", "theirs"]
