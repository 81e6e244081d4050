import matplotlib
import numpy as np
import pytest
import torch

from snn_gan_ext import plots

SPIKES = (torch.rand(8, 6, 4, generator=torch.Generator().manual_seed(0)) < 0.4).float()

PICTURES = {
    "raster": lambda x: plots.raster({"one": x[:, 0]}),
    "raster_grid": lambda x: plots.raster_grid({"row": {"column": x[:, 0]}}),
    "spike_comparison": lambda x: plots.spike_comparison({"ours": x, "theirs": x}, 1e-3, "title"),
    "train_statistics": lambda x: plots.train_statistics({"one": x[:, :, 0]}, 1e-3),
    "event_frames": lambda x: plots.event_frames({"one": x.reshape(-1, 6, 1, 2, 2)}),
    "time_surfaces": lambda x: plots.time_surfaces({"one": x.reshape(-1, 6, 2, 2)}),
    "histogram": lambda x: plots.histogram({"one": x.flatten()}, 1, "spikes"),
    "sample_grid": lambda x: plots.sample_grid({"one": (x[:, 0], torch.arange(len(x)) % 2)}, 2, 2),
    "pca_scatter": lambda x: plots.pca_scatter(*2 * [POINTS], *2 * [torch.arange(5)]),
    "pca_panels": lambda x: plots.pca_panels({"one": POINTS}, torch.arange(5)),
    "lines": lambda x: plots.lines({"one": [(0, 1), (1, -2)]}, x_label="x", y_label="y"),
    "learning_curves": lambda x: plots.learning_curves([{"update": 1, "a": 2}], {"one": ("a",)}),
}
POINTS = np.arange(10.0).reshape(5, 2)


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


def test_learning_curves_leave_out_metrics_that_the_log_lacks():
    log = [{"update": 10, "loss": 2.0}, {"update": 20, "loss": 1.0, "rate": 0.5}]
    figure = plots.learning_curves(log, {"loss": ("loss",), "both": ("rate", "absent")})
    drawn = [[line.get_xydata().tolist() for line in axis.lines] for axis in figure.axes]
    assert drawn == [[[[10, 2], [20, 1]]], [[[20, 0.5]]]]


def test_pictures_do_not_depend_on_the_users_settings(tmp_path):
    def picture(draw, name):
        path = tmp_path / name
        plots.save(draw(SPIKES), path)
        return path.read_bytes()

    users = {
        "axes.facecolor": "red",
        "axes.prop_cycle": matplotlib.cycler(color=["green"]),
        "figure.constrained_layout.use": True,
        "figure.dpi": 30,
        "font.family": "no such font",
        "font.size": 30,
        "image.origin": "lower",
        "path.sketch": (1, 2, 3),
        "savefig.bbox": "tight",
        "savefig.facecolor": "blue",
        "savefig.format": "pdf",
        "text.usetex": True,
    }
    expected = [picture(draw, "by_default.png") for draw in PICTURES.values()]
    with matplotlib.rc_context(users):
        assert [picture(draw, "by_user.png") for draw in PICTURES.values()] == expected
        assert matplotlib.rcParams["font.size"] == 30


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES.keys())
def test_pictures_take_tensors_with_a_graph_of_any_dtype_and_one_silent_step(draw, tmp_path):
    for spikes in (SPIKES.bfloat16().requires_grad_() * 1, 0 * SPIKES[:1]):
        plots.save(draw(spikes), tmp_path / "picture.png")


def test_dollars_in_titles_are_dollars(tmp_path):
    figure = plots.raster({"a $x_$": SPIKES[:, :, 0]})
    plots.save(figure, tmp_path / "picture.png")
    assert not figure.axes[0].title.get_parse_math()
