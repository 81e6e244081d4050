"""The command `snn-gan-ext`: train, reproduce, evaluate, sample, crosscheck, recipes.

Commands import the modules that need PyTorch, so that help and errors of arguments come at once.
"""

import contextlib
import functools
import io
import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.recipes import RECIPES, SUMMARIES, check_recipe
from snn_gan_ext.validation import path_of
from snn_gan_ext.version import __version__

if TYPE_CHECKING:
    from snn_gan_ext.experiments.experiment import Experiment

__all__ = ["main"]

T = TypeVar("T")
# Text: a `Path` of an empty one would be the current folder.
Run = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
PathText = Annotated[str, tyro.conf.arg(metavar="PATH")]
OptionalPath = Annotated[str | None, tyro.conf.arg(metavar="PATH")]
Format = Literal["npz", "hdf5", "nmnist"]
Target = Literal["numpy", "cython", "cpp_standalone"]
Split = Literal["validation", "test"]
Paper = Literal["digits-curves", "digits-meta", "digits-noise", "digits-spikes", "nmnist-augment"]
PROGRAM = "snn-gan-ext"
NARROWEST = 40
"""Columns for which help is laid out in an even narrower terminal, where tyro's layout never ends."""
LONGEST = 500
"""Characters of a message about words that cannot be parsed."""


class UsageError(Exception):
    """Words on the command line that cannot be parsed."""


class CheckFailedError(Exception):
    """A trained network behaves differently in Brian2."""


@dataclass(frozen=True)
class RunOptions:
    """Options of the run.

    Attributes:
        out: Run folder. By default runs/RECIPE-seedN.
        updates: Training updates, of all networks. By default the recipe's.
        data: File or folder of the data. By default the recipe's.
        resume: Go on from the folder's checkpoint.
        force: Throw away the run that is in the folder.
        device: Device to train on: cpu, cuda, ...
        tensorboard: Write TensorBoard event files as well.
        progress: Show a progress bar.
    """

    out: OptionalPath = None
    updates: int | None = None
    data: OptionalPath = None
    resume: bool = False
    force: bool = False
    device: str = "cpu"
    tensorboard: bool = False
    progress: bool = True


@dataclass(frozen=True)
class RecordingOptions:
    """Options of the recording.

    Attributes:
        bin: Width of a bin, such as 20ms.
        window: Length of a window, such as 1s; of trials by default the whole trial.
        label: Column of the trials with their labels.
        intervals: Name of the table of trials or intervals.
    """

    bin: str = "20ms"
    window: str | None = None
    label: str = ""
    intervals: str = ""

    def changes(self) -> dict[str, Any]:
        """Return the settings that these options stand for."""
        window = 0.0 if self.window is None else _milliseconds("--window", self.window)
        texts = {"data.label": self.label, "data.intervals": self.intervals}
        return {"data.bin_ms": _milliseconds("--bin", self.bin), "data.window_ms": window, **texts}


def _milliseconds(name: str, text: str) -> float:
    """Return a duration such as 20ms or 1.5s in milliseconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", text.strip())
    if found is None or float(found[1]) == 0:
        raise InputError(name, expected="a duration such as 20ms or 1s", got=f"{text!r:.40}")
    return float(found[1]) * {"ms": 1.0, "s": 1000.0}[found[2]]


def _fit(path: str, arguments: Sequence[str]) -> None:
    """Fit a population to a recording; every setting is an option."""
    from snn_gan_ext.experiments.recipes.recording import RECORDING, choices, experiment_for

    file = path_of("FILE", path)
    *_, options = _parse_train(RECORDING, "fit FILE", arguments, RecordingOptions)
    default = experiment_for(file, options.changes())
    experiment, run, _ = _parse_train(default, "fit FILE", arguments, RecordingOptions)
    for line in choices(experiment):
        print(line, file=sys.stderr)
    _run_training(experiment, run, Path("runs") / file.stem)


def _train(name: str, arguments: Sequence[str]) -> None:
    """Train a recipe; every setting is an option."""
    experiment, run, _ = _parse_train(RECIPES[name], f"train {name}", arguments)
    default = Path("runs") / f"{name}-seed{experiment.seed}"
    folder = default if run.out is None else path_of("--out", run.out)
    from snn_gan_ext.experiments import runs

    if run.resume and not run.force and (folder / "config.json").exists():
        # Settings that are left out are those of the run.
        stored = runs.read_experiment(folder)
        if stored.name == name:
            experiment, run, _ = _parse_train(stored, f"train {name}", arguments)
    _run_training(experiment, run, folder)


def _run_training(experiment: "Experiment", run: RunOptions, default: Path) -> None:
    """Train an experiment into its folder, and print its scorecard."""
    from snn_gan_ext.experiments import runs

    folder = default if run.out is None else path_of("--out", run.out)
    names = ("resume", "force", "device", "tensorboard", "progress")
    _show(runs.train(experiment, folder, **{name: getattr(run, name) for name in names}), folder)


def _show(metrics: dict[str, Any], folder: Path) -> None:
    """Print the scorecard of a run, and where its report is."""
    print(json.dumps(metrics, indent=2))
    print(f"report: {folder / 'report.html'}", file=sys.stderr)


def _parse_train(
    default: "Experiment", command: str, arguments: Sequence[str], others: type = NoneType
) -> tuple["Experiment", RunOptions, Any]:
    """Return the experiment, the options of the run, and other options of a command."""

    @dataclass(frozen=True)
    class Train:
        experiment: Annotated[Any, tyro.conf.arg(name="")] = default
        run: Annotated[RunOptions, tyro.conf.arg(name="")] = field(default_factory=RunOptions)
        more: Annotated[others, tyro.conf.arg(name="")] = field(default_factory=others)  # type: ignore[valid-type]

    config = (tyro.conf.AvoidSubcommands, tyro.conf.SuppressFixed)
    summary = SUMMARIES[default.name]
    texts: dict[str, Any] = {"prog": f"{PROGRAM} {command}", "description": summary}
    parsed = _parsed(functools.partial(tyro.cli, Train, args=arguments, config=config, **texts))
    experiment: Experiment = parsed.experiment
    if parsed.run.updates is not None:
        experiment = experiment.with_updates(parsed.run.updates)
    if parsed.run.data is not None:
        path_of("--data", parsed.run.data)
        experiment = experiment.with_data(parsed.run.data)
    return experiment, parsed.run, parsed.more


def _parsed(parse: Callable[[], T]) -> T:
    """Call tyro, whose errors come in a box of many lines, and raise them in one."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return parse()
    except SystemExit as error:
        if not error.code:  # --help
            raise
        message = _in_one_line(box.getvalue())
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__context__
        if cause is None:
            raise UsageError(message) from None
        place = re.match(r"experiment\.([^:]+): ", message)
        raise UsageError(f"{place[1]}.{cause}" if place else f"{cause}") from None


def _in_one_line(box: str) -> str:
    """Return the message in a box of tyro's, without the help of options, and its cure."""
    rows = [row for row in box.replace("│", " ").splitlines() if row.startswith("  ")]
    blocks = itertools.groupby(rows, lambda row: not row.strip(" ─-"))
    # Help of options stands ten columns to the right.
    texts = ["".join(row for row in block if row[:10].strip()) for ruled, block in blocks if not ruled]
    message, *more, last = [" ".join(text.split()) for text in texts] or [box, ""]
    for found, shown in (
        (r"^Error parsing ", ""),
        (r"invalid literal for int\(\) with base 10: ", "expected a whole number, got "),
        (r"could not convert string to float: ", "expected a number, got "),
    ):
        message = re.sub(found, shown, message)
    meant = re.search(r"Perhaps you meant: (\S+)", " ".join(more))
    cure = f"did you mean {meant[1]}?" if meant else f"see {last[last.rfind(PROGRAM) :]}"
    return f"{message.rstrip(' .'):.{LONGEST}}; {cure}"


def train(recipe: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RECIPE")]]) -> None:
    """Train a recipe into a run folder; `train RECIPE --help` lists its settings.

    Args:
        recipe: Name of a recipe; `recipes` lists them.
    """
    _train(recipe, ())


def fit(file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]]) -> None:
    """Fit a coupled population to a recording; `fit FILE --help` lists all settings.

    Args:
        file: Spike trains, as .nwb, .npz or a format that neo reads; "example" ships with the package.
    """
    _fit(file, ())


def compare(
    real: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="REAL")]],
    other: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="OTHER")]],
    bin: str = "20ms",
    window: str | None = None,
    train: OptionalPath = None,
    out: OptionalPath = None,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
    references: bool = True,
    likelihood: bool = False,
    judges: bool = True,
    resamples: int = 100,
    seed: int = 0,
) -> None:
    """Compare two files of spike trains, whoever made them: the scorecard of the field.

    Args:
        real: Real spike trains, as .nwb, .npz or a format that neo reads.
        other: Other ones, with the same units.
        bin: Width of a bin, such as 20ms.
        window: Length of a window, such as 1s; of trials by default the whole trial.
        train: Spike trains that the other ones were learned from, to find copies of them.
        out: Folder for metrics.json, pictures and report.html.
        json_: Print numbers as JSON, not as a table.
        references: Score samplers without a network, too.
        likelihood: Fit a coupled GLM to the real spike trains, and score it, too; slow.
        judges: Train classifiers that tell windows of the two apart; slow.
        resamples: Bootstrap samples, and random halves of the real set, for the intervals.
        seed: Seed of all randomness.
    """
    from snn_gan_ext.experiments.compare import compare, table

    found = compare(
        path_of("REAL", real),
        path_of("OTHER", other),
        train=None if train is None else path_of("--train", train),
        bin=_milliseconds("--bin", bin) / 1000,
        window=None if window is None else _milliseconds("--window", window) / 1000,
        references=references,
        likelihood=likelihood,
        judges=judges,
        resamples=resamples,
        seed=seed,
    )
    print(json.dumps(found.to_dict(), indent=2) if json_ else table(found), end="\n" if json_ else "")
    if out is not None:
        folder = path_of("--out", out)
        found.save(folder)
        print(f"report: {folder / 'report.html'}", file=sys.stderr)


def evaluate(run: Run, device: str = "cpu", data: OptionalPath = None) -> None:
    """Evaluate a trained run again, from its weights, and write its report anew.

    Args:
        run: Run folder.
        device: Device to sample on: cpu, cuda, ...
        data: File or folder of its data, if they have moved since training.
    """
    from snn_gan_ext.experiments import runs

    place = "" if data is None else f"{path_of('--data', data)}"
    folder = path_of("run", run)
    _show(runs.evaluate(folder, device, place), folder)


def sample(
    run: Run,
    out: PathText,
    format: Format = "npz",
    n: int = 100,
    label: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    force: bool = False,
) -> None:
    """Draw spike trains from a trained run into a file.

    Args:
        run: Run folder.
        out: File to write: spikes [T, n, N], labels [n], and decoded images, times or events; with
            nmnist a new folder of recordings. Of a recording .nwb, .npz or .nix.
        format: npz; or for recipes with events hdf5 (.h5), and nmnist, whose files Tonic reads.
        n: Number of trials.
        label: Class of all trials; the classes in turn by default.
        seed: Seed of the draws.
        device: Device to sample on: cpu, cuda, ...
        force: Overwrite a file that is there.
    """
    from snn_gan_ext.experiments import samples

    path = path_of("--out", out)
    drawn = samples.sample(path_of("run", run), path, n, label, seed, device, format, force)
    print(f"{path}: spikes {list(drawn['spikes'].shape)}")


def reproduce(
    experiment: tyro.conf.Positional[Paper],
    out: OptionalPath = None,
    seeds: int = 3,
    updates: int | None = None,
    classifier_updates: int | None = None,
    evaluate_on: Split = "test",
    progress: bool = True,
) -> None:
    """Run a paper's experiment over seeds and print its table; go on where it was stopped.

    With three seeds, runs of one to five minutes each, one after another: digits-curves 15 of them,
    digits-meta 3, digits-noise 54, digits-spikes 18, nmnist-augment 6 (it finds recordings through
    SNN_GAN_EXT_DATA).

    Args:
        experiment: The SpikeGAN paper's Fig. 4 (digits-curves), Fig. 5 (digits-noise), Fig. 8
            (digits-meta), Table I (digits-spikes), or classifiers with few event recordings
            (nmnist-augment).
        out: Folder. By default runs/EXPERIMENT. Finished runs in it are kept.
        seeds: Number of seeds, from 0.
        updates: Training updates, if not the recipes' own.
        classifier_updates: Training updates of the spiking classifier, if not the recipes' own.
        evaluate_on: Split of the evaluation.
        progress: Show progress bars.
    """
    from snn_gan_ext.experiments.papers import PAPERS, Settings

    folder = Path("runs") / experiment if out is None else path_of("--out", out)
    settings = Settings(
        out=folder,
        seeds=seeds,
        updates=updates,
        classifier_updates=classifier_updates,
        evaluate_on=evaluate_on,
        progress=progress,
    )
    PAPERS[experiment](settings)
    print((folder / "table.md").read_text(encoding="utf-8"), end="")


def crosscheck(run: Run, target: Target = "numpy", trials: int = 200, seed: int = 0) -> None:
    """Run a trained run in Brian2: the same spikes on the same noise, the same statistics on its own.

    Args:
        run: Run folder; crosscheck.json and pictures go there.
        target: Brian2's code generation target; cython and cpp_standalone compile for minutes.
        trials: Trials of each free run.
        seed: Seed of all noise.
    """
    from snn_gan_ext.experiments.brian_check import crosscheck_run
    from snn_gan_ext.experiments.report import number

    folder = path_of("run", run)
    found = crosscheck_run(folder, target=target, trials=trials, seed=seed)
    for name, network in found["networks"].items():
        wrong, spikes = sum(network["mismatches"].values()), network["replayed_spikes"]
        same = f"in {found['replayed_trials']} trials on the same noise"
        print(f"{name}: {wrong} mismatched spikes of {spikes} {same};")
        each = f"in {found['trials']} trials each"
        print(f"  ours and Brian2's {each} (p: corrected, - not testable; ISI in s):")
        for line in network["statistics"]:
            values = f"{number(line['ours'])} and {number(line['brian'])}"
            print(f"  {line['name']:18} {values:24} p {number(line['p'])}")
    failed = [name for name, network in found["networks"].items() if not network["passed"]]
    if failed:
        raise CheckFailedError(f"{folder / 'crosscheck.json'}: a check failed: {', '.join(failed)}")
    print(f"passed: {len(found['networks'])} of {len(found['networks'])}")


def recipes() -> None:
    """List the recipes."""
    width = max(map(len, SUMMARIES))
    for name, summary in SUMMARIES.items():
        print(f"{name:{width}}  {summary}")


def _later(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """Bind arguments alone: within its parser, tyro would take a command's errors for its own."""

    @functools.wraps(command)
    def bind(*arguments: Any, **options: Any) -> Callable[[], None]:
        return functools.partial(command, *arguments, **options)

    return bind


COMMANDS = {
    command.__name__: _later(command)
    for command in (train, fit, compare, reproduce, evaluate, sample, crosscheck, recipes)
}


def _run(arguments: Sequence[str]) -> None:
    if list(arguments) == ["--version"]:
        print(__version__)
        return
    command: Callable[[], None]
    if len(arguments) > 1 and arguments[0] == "fit" and not arguments[1].startswith("-"):
        command = functools.partial(_fit, arguments[1], arguments[2:])
    elif len(arguments) > 1 and arguments[0] == "train" and not arguments[1].startswith("-"):
        check_recipe(arguments[1])
        command = functools.partial(_train, arguments[1], arguments[2:])
    else:
        text = "Spiking networks that learn distributions of spike trains (also: --version)."
        texts: dict[str, Any] = {"args": arguments, "prog": PROGRAM, "description": text}
        parse = functools.partial(tyro.extras.subcommand_cli_from_dict, COMMANDS, **texts)
        command = _parsed(parse)
    if "torch" in sys.modules or arguments[0] != "recipes":
        import torch

        # The networks are small: a second thread gains nothing, and loses much on a busy machine.
        torch.set_num_threads(1)
    command()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 failure, 2 bad input, 128 + signal."""
    _prepare_output()
    code = _code(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python's own flush at the end must not fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A reader such as `head` may close the pipe early.
        return 1 if isinstance(error, BrokenPipeError) else _fail(f"output: {error.strerror}", 1)
    return code


def _prepare_output() -> None:
    """Let output neither fail by its encoding nor by its absence, and help by a narrow terminal."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed, as by >&-
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = f"{NARROWEST}"


def _code(arguments: Sequence[str]) -> int:
    """Run the command, say in one line why it failed, and return its exit code."""
    try:
        _run(arguments)
    except SystemExit as error:  # of --help
        return int(error.code or 0)
    except BrokenPipeError:
        return 1
    except (InputError, UsageError) as error:
        return _fail(error, 2)
    except OSError as error:
        place, code = (error.filename, 2) if error.filename else ("input or output", 1)
        return _fail(f"{place}: {error.strerror or error}", code)
    except CheckFailedError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; the contents of the run folder stay", 130)
    except Exception as error:
        return _code_of(error)
    return 0


def _code_of(error: Exception) -> int:
    """Exit codes of errors whose classes need PyTorch."""
    from snn_gan_ext.experiments.loop import Interrupted, NonFiniteError

    if isinstance(error, NonFiniteError):
        return _fail(error, 1)
    if isinstance(error, Interrupted):
        return _fail(error, 128 + error.signal_number)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "alloc" in str(error)):
        return _fail("memory: expected sizes that fit, got larger ones; lower batch, sizes or --n", 2)
    raise error


def _fail(message: object, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody can be told
        print(f"{PROGRAM}: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
