"""What importing the package costs and pulls in."""

import subprocess
import sys

HEAVY = {"sklearn", "scipy", "matplotlib", "tyro", "tqdm", "brian2", "tonic", "pandas"}


def modules_after(statement):
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in out.stdout.split()}


def test_the_import_stays_light():
    assert modules_after("import snn_gan_ext") & HEAVY <= modules_after("import snntorch") & HEAVY
