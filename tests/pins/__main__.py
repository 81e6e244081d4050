"""Pins every recipe: weights after 20 updates at seed 0, and the values of the first 20 log lines."""
import hashlib, json, sys, tempfile, time
from pathlib import Path
import torch
from torch import nn
from snn_gan_ext.recipes import RECIPES
from snn_gan_ext.training.loop import fit

SMALLER = {"trials": 500}
def modules(state):
    if hasattr(state, "states"):
        return [m for s in state.states.values() for m in modules(s)]
    return [v for v in vars(state).values() if isinstance(v, nn.Module)]

def digest(parts):
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

def pin(name):
    cls = RECIPES[name]
    extra = {k: v for k, v in SMALLER.items() if k in cls.__dataclass_fields__}
    recipe = cls(seed=0, **extra)
    torch.manual_seed(0)
    e = recipe.build(torch.device("cpu"))
    e.prepare()
    with tempfile.TemporaryDirectory() as folder:
        fit(e.algorithm, e.state, e.next_batch, steps=20, folder=Path(folder), config={"recipe": name}, monitor=e.monitor, monitor_every=20, log_every=1, checkpoint_every=20, progress=False)
        lines = [json.loads(x) for x in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    weights = sorted(hashlib.sha256(str(tuple(p.shape)).encode() + p.detach().contiguous().numpy().tobytes()).hexdigest() for m in modules(e.state) for p in m.parameters())
    log = ["%s" % sorted(repr(v) for k, v in line.items() if k != "step") for line in lines[:20]]
    monitor = sorted(repr(v) for k, v in lines[-1].items() if k != "step")
    return {"weights": digest(weights), "log": digest(log), "monitor": digest(monitor)}

torch.set_num_threads(1)
names = sys.argv[2:] or list(RECIPES)
out = {}
for n in names:
    t = time.time(); out[n] = pin(n); print(n, out[n], round(time.time() - t, 1), flush=True)
Path(sys.argv[1]).write_text(json.dumps(out, indent=2) + "\n")
