"""Measures of the scorecards in words, with their perfect values."""

from typing import NamedTuple

__all__ = ["MEASURES", "OTHERS", "PICTURES", "SAMPLERS", "Measure"]


class Measure(NamedTuple):
    """A column of ``metrics.json`` for people.

    Attributes:
        words: Meaning of the number.
        perfect: Value of a perfect sampler; ``as real`` for that of a second real set.
    """

    words: str
    perfect: str = "as real"


MEASURES = {
    "tstr": Measure("train a classifier on samples, test it on real trials (TSTR): accuracy"),
    "trts": Measure("train it on real trials, test it on samples (TRTS): accuracy", "as real or above"),
    "c2st": Measure("accuracy of a classifier that separates samples from real trials (C2ST)", "0.5"),
    "c2st_convolutions": Measure("C2ST by a convolutional network on the spikes", "0.5"),
    "energy_distance": Measure("class-wise energy distance to real trials", "0"),
    "within_class_variance_ratio": Measure("variance within a class, over real trials'", "1"),
    "snn_tstr": Measure("TSTR of a spiking classifier, by mean firing probability"),
    "snn_tstr_count": Measure("TSTR of a spiking classifier, by spike count"),
    "valid": Measure("share of trials that keep to one firing mode", "1"),
    "burst": Measure("share of trials that burst"),
    "tonic": Measure("share of trials that fire tonically"),
    "plateau": Measure("share of trials with plateaus"),
    "regular": Measure("share of trials that fire regularly"),
    "isi_wasserstein": Measure("Wasserstein distance of the inter-spike intervals to real trials'"),
    "mmd": Measure("squared maximum mean discrepancy of the autocorrelations"),
    "silent_particles": Measure("particles with at most one run of spikes in most trials", "0"),
    "rate": Measure("spikes a second"),
    "cv": Measure("coefficient of variation of all intervals"),
    "burst_share": Measure("share of intervals within bursts"),
    "over_poisson": Measure("interval distance over the Poisson process's"),
    "correlogram_error": Measure("relative error of all pairwise correlograms, lags 0 to 5", "0"),
    "rate_error": Measure("mean error of the neurons' rates, over their mean", "0"),
    "count_divergence": Measure("KL divergence of the population count, nats", "0"),
    "correlation_r": Measure("correlations of pairs of units: r", "as real"),
    "correlation_slope": Measure("the same: slope on real ones", "1"),
    "correlation_rmse": Measure("the same: root mean squared difference", "as real"),
    "correlation_mean_ratio": Measure("the same: mean over that of real ones", "1"),
    "lag_1_r": Measure("covariances of pairs at lag 1: r"),
    "lag_1_slope": Measure("the same: slope on real ones", "1"),
    "lags_1_to_5_r": Measure("covariances of pairs at lags 1 to 5: r"),
    "lags_1_to_5_slope": Measure("the same: slope on real ones", "1"),
    "autocovariance_error": Measure("relative error of units' autocovariances, lags 1 to 5"),
    "isi_distance": Measure("Wasserstein distance of the inter-spike intervals, bins", "as real"),
    "isi_mean_ratio": Measure("mean interval, over the real one", "1"),
    "isi_sd_ratio": Measure("standard deviation of intervals, over real ones'", "1"),
    "short_intervals": Measure("share of intervals of at most 2 bins, minus real ones'", "0"),
    "cv_ratio": Measure("coefficient of variation of intervals, over real ones'", "1"),
    "fano_ratio": Measure("Fano factor of units' counts, over real ones'", "1"),
    "population_fano_ratio": Measure("Fano factor of the population's count, over the real one", "1"),
    "psth_error": Measure("error of the population's time course, over its mean"),
    "noise_r": Measure("noise covariances of pairs: r"),
    "noise_slope": Measure("the same: slope on real ones", "1"),
    "c2st_trees": Measure("accuracy of boosted trees that tell windows from real ones", "0.5"),
    "leakage": Measure("distance to the nearest training window, over held-out windows'", "1"),
    "rate_ratio": Measure("spikes, over real trials'", "1"),
    "count_spread_ratio": Measure(
        "spread of trials' spike counts within a class, over real trials'", "1"
    ),
    "autocorrelation_distance": Measure("distance of residual correlations in space and time"),
    "nearest_distance": Measure("distance to the nearest training trial of the class"),
    "nearest_ratio": Measure(
        "that distance over held-out trials'; below 1, samples may be copies", "1"
    ),
    "accuracy": Measure("accuracy on real trials after training on real trials and these samples"),
    "strict_accuracy": Measure("share of trials whose first output spike is the label's alone", "1"),
    "tie_accuracy": Measure("the same, ties decided by the potentials", "1"),
    "latency": Measure("mean step of the first output spike, as a share of the window", "low"),
    "spikes_to_decision": Measure("mean spikes up to that step", "low"),
    "spikes_full": Measure("mean spikes in the whole window", "low"),
    "frechet": Measure("Frechet distance to held-out images in a classifier's last hidden layer"),
    "over_pca_gaussian": Measure("Frechet distance over the PCA Gaussian's"),
    "clocked_frechet": Measure("Frechet distance if neurons fire at ticks of a clock alone"),
    "inception_score": Measure("inception score of that classifier"),
    "classes_covered": Measure(
        "classes that are drawn at least a fifth as often as a fair draw would", "10"
    ),
    "hidden_active": Measure("share of samples in which a hidden neuron fires", "low"),
    "hidden_spikes": Measure("hidden spikes a sample", "low"),
    "pixel_spikes": Measure("pixel spikes a sample"),
}
"""By their names in ``metrics.json``."""

SAMPLERS = {
    "real": "real trials again",
    "class_means": "class means, no network",
    "kmeans": "k-means mixture, no network",
    "psth": "independent units of the same time courses",
    "shuffled": "trials shuffled by unit",
    "dichotomized_gaussian": "dichotomized Gaussian",
    "coupled": "coupled GLM by likelihood",
    "population": "fitted population",
    "other": "the other set",
    "independent": "independent neurons of the same rates",
    "local": "the local rule alone",
    "uncoupled": "latent bits, no coupling",
    "poisson": "Poisson process of the same rate",
    "pixel_marginals": "pixel marginals, no network",
    "pca_gaussian": "PCA Gaussian, no network",
    "pixel_marginals_per_class": "pixel marginals per class, no network",
    "pca_gaussian_per_class": "PCA Gaussian per class, no network",
    "spikegan": "SpikeGAN",
    "bayes": "Bayes-SpikeGAN",
    "ml": "maximum likelihood",
    "belief": "belief network",
    "spiking_gan": "Spiking-GAN",
    "ann_gan": "ordinary GAN",
    "random": "random initialisation",
    "meta": "learned initialisation",
    "meta_generator": "learned generator, random discriminator",
    "jitter": "shifted copies",
    "jitter_and_spikegan": "shifted copies and SpikeGAN",
}
"""Samplers in words."""

OTHERS = {
    "real_accuracy": "accuracy of the TRTS classifier on held-out digits, with their noise, uncoded",
    "peak_memory_mb": "largest memory of the process, MB",
    "latency_saved": "share of the latency that aggressive targets save",
    "spikes_to_decision_saved": "share of the spikes to the decision that they save",
    "spikes_full_saved": "share of the spikes in the whole window that they save",
}
"""Numbers that belong to no sampler, in words."""

PICTURES = {"pca": "Principal components"}
"""Titles of pictures whose file names are none."""
