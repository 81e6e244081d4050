"""Two processes on half a batch each, and one on the whole batch; run by test_behaviour."""

import os
import sys
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from snn_gan_ext import GLMLayer


def net():
    torch.manual_seed(0)
    return nn.ModuleList([GLMLayer(6, 5), GLMLayer(5, 4)]).double()


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = net()

    def forward(self, x, first, second):
        hidden, _ = self.layers[0](x, uniforms=first)
        return self.layers[1](hidden, uniforms=second)[0]


def batch():
    rng = torch.Generator().manual_seed(1)
    return [torch.rand(7, 8, size, generator=rng).double() for size in (6, 5, 4)]


def worker(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = DistributedDataParallel(Stack())
    spikes = model(*(part[:, rank * 4 : rank * 4 + 4] for part in batch()))
    (spikes.sum() / spikes.shape[1]).backward()
    parts = [torch.empty_like(spikes) for _ in range(2)]
    distributed.all_gather(parts, spikes.detach().contiguous())
    if rank == 0:
        result = {"spikes": torch.cat(parts, 1), "gradients": [p.grad for p in model.parameters()]}
        torch.save(result, Path(folder) / "halves.pt")
    distributed.destroy_process_group()


def main(folder):
    os.environ["OMP_NUM_THREADS"] = "1"
    multiprocessing.spawn(worker, (folder,), nprocs=2)
    model = Stack()
    spikes = model(*batch())
    (spikes.sum() / spikes.shape[1]).backward()
    result = {"spikes": spikes.detach(), "gradients": [p.grad for p in model.parameters()]}
    torch.save(result, Path(folder) / "joined.pt")


if __name__ == "__main__":
    main(sys.argv[1])
