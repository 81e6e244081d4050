"""The command `snn-gan-ext`: train, reproduce, evaluate, sample, crosscheck, recipes.

Commands import the modules that need PyTorch, so that help and errors of arguments come at once.
"""

import contextlib
import difflib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.recipes import RECIPES, SUMMARIES
from snn_gan_ext.version import __version__

if TYPE_CHECKING:
    from snn_gan_ext.experiments.experiment import Experiment

__all__ = ["main"]

T = TypeVar("T")
Command = Callable[[], None]
Format = Literal["npz", "hdf5", "nmnist"]
Target = Literal["numpy", "cython", "cpp_standalone"]
Split = Literal["validation", "test"]
Paper = Literal["digits-curves", "digits-meta", "digits-noise", "digits-spikes", "nmnist-augment"]
PROGRAM = "snn-gan-ext"


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

    out: Path | None = None
    updates: int | None = None
    data: str = ""
    resume: bool = False
    force: bool = False
    device: str = "cpu"
    tensorboard: bool = False
    progress: bool = True


def _train(name: str, arguments: Sequence[str]) -> None:
    """Train a recipe; every setting is an option."""
    experiment, run = _parse_train(RECIPES[name], name, arguments)
    folder = run.out or Path("runs") / f"{name}-seed{experiment.seed}"
    from snn_gan_ext.experiments import runs

    if run.resume and not run.force and (folder / "config.json").exists():
        # Settings that are left out are those of the run.
        stored = runs.read_experiment(folder)
        if stored.name == name:
            experiment, run = _parse_train(stored, name, arguments)
    metrics = runs.train(
        experiment,
        folder,
        resume=run.resume,
        force=run.force,
        device=run.device,
        tensorboard=run.tensorboard,
        progress=run.progress,
    )
    print(json.dumps(metrics, indent=2))
    print(f"report: {folder / 'report.html'}", file=sys.stderr)


def _parse_train(
    default: "Experiment", name: str, arguments: Sequence[str]
) -> tuple["Experiment", RunOptions]:
    @dataclass(frozen=True)
    class Train:
        experiment: Annotated[Any, tyro.conf.arg(name="")] = default
        run: Annotated[RunOptions, tyro.conf.arg(name="")] = field(default_factory=RunOptions)

    def parse() -> Train:
        return tyro.cli(
            Train,
            args=arguments,
            prog=f"{PROGRAM} train {name}",
            description=SUMMARIES[name],
            config=(tyro.conf.AvoidSubcommands, tyro.conf.SuppressFixed),
        )

    parsed = _in_one_line(parse)
    experiment: Experiment = parsed.experiment
    if parsed.run.updates is not None:
        experiment = experiment.with_updates(parsed.run.updates)
    if parsed.run.data:
        experiment = experiment.with_data(parsed.run.data)
    return experiment, parsed.run


def _in_one_line(parse: Callable[[], T]) -> T:
    """Parse, and raise an `InputError` of the settings that tyro would print in a box."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return parse()
    except SystemExit as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__context__
        if cause is not None:
            raise cause from None
        if not error.code:
            raise
        return parse()  # once more, for its message


def train(recipe: tyro.conf.Positional[str]) -> Command:
    """Train a recipe into a run folder; `train RECIPE --help` lists its settings.

    Args:
        recipe: Name of a recipe; `recipes` lists them.
    """
    raise AssertionError("`main` parses the recipe's own options")


def evaluate(run: tyro.conf.Positional[Path], device: str = "cpu", data: str = "") -> Command:
    """Evaluate a trained run again, from its weights, and write its report anew.

    Args:
        run: Run folder.
        device: Device to sample on: cpu, cuda, ...
        data: File or folder of its data, if they have moved since training.
    """

    def command() -> None:
        from snn_gan_ext.experiments import runs

        print(json.dumps(runs.evaluate(run, device, data), indent=2))

    return command


def sample(
    run: tyro.conf.Positional[Path],
    out: Path,
    format: Format = "npz",
    n: int = 100,
    label: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Command:
    """Draw spike trains from a trained run into a file.

    Args:
        run: Run folder.
        out: File to write: spikes [T, n, N], labels [n], and decoded images, times or events; with
            nmnist a new folder of recordings.
        format: npz; or for recipes with events hdf5 (.h5), and nmnist, whose files Tonic reads.
        n: Number of trials.
        label: Class of all trials; the classes in turn by default.
        seed: Seed of the draws.
        device: Device to sample on: cpu, cuda, ...
    """

    def command() -> None:
        from snn_gan_ext.experiments import samples

        drawn = samples.sample(run, out, n, label, seed, device, format)
        print(f"{out}: spikes {list(drawn['spikes'].shape)}")

    return command


def reproduce(
    experiment: tyro.conf.Positional[Paper],
    out: Path | None = None,
    seeds: int = 3,
    updates: int | None = None,
    classifier_updates: int | None = None,
    evaluate_on: Split = "test",
    progress: bool = True,
) -> Command:
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
    folder = out or Path("runs") / experiment

    def command() -> None:
        from snn_gan_ext.experiments.papers import PAPERS, Settings

        settings = Settings(
            out=folder,
            seeds=seeds,
            updates=updates,
            classifier_updates=classifier_updates,
            evaluate_on=evaluate_on,
            progress=progress,
        )
        PAPERS[experiment](settings)
        print((folder / "table.md").read_text(), end="")

    return command


def crosscheck(
    run: tyro.conf.Positional[Path],
    target: Target = "numpy",
    trials: int = 200,
    seed: int = 0,
) -> Command:
    """Run a trained run in Brian2: the same spikes on the same noise, the same statistics on its own.

    Args:
        run: Run folder; crosscheck.json and pictures go there.
        target: Brian2's code generation target; cython and cpp_standalone compile for minutes.
        trials: Trials of each free run.
        seed: Seed of all noise.
    """

    def command() -> None:
        from snn_gan_ext.experiments.brian_check import crosscheck_run

        found = crosscheck_run(run, target=target, trials=trials, seed=seed)
        _print_checks(found)
        failed = [name for name, network in found["networks"].items() if not network["passed"]]
        if failed:
            raise CheckFailedError(f"{run / 'crosscheck.json'}: a check failed: {', '.join(failed)}")
        print(f"passed: {len(found['networks'])} of {len(found['networks'])}")

    return command


def _print_checks(found: dict[str, Any]) -> None:
    from snn_gan_ext.experiments.report import number

    for name, network in found["networks"].items():
        wrong = sum(network["mismatches"].values())
        print(f"{name}: {wrong} mismatched spikes of {network['replayed_spikes']}", end=" ")
        print(f"in {found['replayed_trials']} trials on the same noise;")
        each = f"in {found['trials']} trials each"
        print(f"  ours and Brian2's {each} (p: corrected, - not testable; ISI in s):")
        for line in network["statistics"]:
            values = f"{number(line['ours'])} and {number(line['brian'])}"
            print(f"  {line['name']:18} {values:24} p {number(line['p'])}")


def recipes() -> Command:
    """List the recipes."""

    def command() -> None:
        width = max(map(len, SUMMARIES))
        for name, summary in SUMMARIES.items():
            print(f"{name:{width}}  {summary}")

    return command


COMMANDS: dict[str, Callable[..., Command]] = {
    "train": train,
    "reproduce": reproduce,
    "evaluate": evaluate,
    "sample": sample,
    "crosscheck": crosscheck,
    "recipes": recipes,
}


def _run(arguments: Sequence[str]) -> None:
    if list(arguments) == ["--version"]:
        print(__version__)
    elif len(arguments) > 1 and arguments[0] == "train" and not arguments[1].startswith("-"):
        _check_recipe(arguments[1])
        _use_one_thread()
        _train(arguments[1], arguments[2:])
    else:
        command: Command = tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            args=arguments,
            prog=PROGRAM,
            description="Spiking networks that learn distributions of spike trains (also: --version).",
        )
        if "torch" in sys.modules or arguments[0] != "recipes":
            _use_one_thread()
        command()


def _use_one_thread() -> None:
    """The networks are small: a second thread gains nothing, and loses much on a busy machine."""
    import torch

    torch.set_num_threads(1)


def _check_recipe(name: str) -> None:
    """Name the nearest recipe, where the parser would list all of them."""
    if name not in SUMMARIES:
        nearest = difflib.get_close_matches(name, SUMMARIES, n=1, cutoff=0)[0]
        raise InputError(
            "recipe",
            expected=f"one of {', '.join(SUMMARIES)}",
            got=f"{name!r}",
            cure=f"did you mean {nearest!r}?",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 failure, 2 bad input, 128 + signal."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe; Python's last flush must not fail on it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except InputError as error:
        return _fail(error, 2)
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}", 2)
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
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
