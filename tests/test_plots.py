import matplotlib
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


def test_learning_curves_leave_out_metrics_that_the_log_lacks():
    log = [{"update": 10, "loss": 2.0}, {"update": 20, "loss": 1.0, "rate": 0.5}]
    figure = plots.learning_curves(log, {"loss": ("loss",), "both": ("rate", "absent")})
    drawn = [[line.get_xydata().tolist() for line in axis.lines] for axis in figure.axes]
    assert drawn == [[[[10, 2], [20, 1]]], [[[20, 0.5]]]]


def test_pictures_do_not_depend_on_the_users_settings(tmp_path):
    def picture(name):
        path = tmp_path / name
        plots.save(plots.raster({"one": torch.eye(6)}), path)
        return path.read_bytes()

    users = {"font.size": 30, "axes.facecolor": "red", "savefig.facecolor": "blue", "figure.dpi": 30}
    expected = picture("by_default.png")
    with matplotlib.rc_context(users):
        assert picture("by_user.png") == expected
        assert matplotlib.rcParams["font.size"] == 30
