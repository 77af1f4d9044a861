"""Trains a small network on scikit-learn's digits with DistributedDataParallel (gloo, CPU), and survives interruptions.

A plain DDP script: it knows nothing of ProcGuard and runs under torchrun just as well. What makes it safe to kill:

  * rank 0 saves a checkpoint after each epoch, under a temporary name that is then renamed: it is whole or absent;
  * a checkpoint says how many steps of its epoch are done, and the order of the data depends on the epoch alone, so a
    resumed run takes the very steps that the interrupted one would have taken;
  * SIGTERM: each rank finishes its step, rank 0 saves, all leave with 143. Only a finished training leaves with 0;
  * a rank whose peer has died waits to be stopped instead of dying too, so that the one cause stays visible.
"""
import argparse
import hashlib
import json
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

STOPPED = 128 + signal.SIGTERM
stopping = False


def on_sigterm(signum, frame):
    global stopping
    stopping = True


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dir", type=Path, default=Path("run"), help="where checkpoint.pt and result.json go")
    p.add_argument("--epochs", type=int, default=12)
    p.add_argument("--batch", type=int, default=32, help="samples per rank and step")
    p.add_argument("--step-seconds", type=float, default=0.02, help="least duration of a step: stands for a larger model")
    return p.parse_args()


def digits():
    """1,797 images of 8x8 pixels; each fifth is kept for the test."""
    raw = load_digits()
    x = torch.tensor(raw.data / 16.0, dtype=torch.float32)
    y = torch.tensor(raw.target, dtype=torch.int64)
    test = torch.arange(len(y)) % 5 == 0
    return TensorDataset(x[~test], y[~test]), (x[test], y[test])


class Training:
    """Model, optimizer and position, and how they go to disk and come back."""

    def __init__(self, directory):
        torch.manual_seed(20)
        self.path = directory / "checkpoint.pt"
        self.model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.epoch = 0  # epochs done
        self.step = 0  # steps done of the epoch after them

    def save(self):
        content = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                   "epoch": self.epoch, "step": self.step}
        temporary = self.path.with_suffix(".tmp")
        with open(temporary, "wb") as f:
            torch.save(content, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, self.path)

    def resume(self):
        """Loads the checkpoint if there is one; False otherwise."""
        if not self.path.exists():
            return False
        content = torch.load(self.path)
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.epoch, self.step = content["epoch"], content["step"]
        return True

    def position(self):
        return f"{self.epoch} epochs and {self.step} steps done"

    def weights_sha256(self):
        digest = hashlib.sha256()
        for tensor in self.model.state_dict().values():
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()


def say(text):
    print(f"rank {dist.get_rank()} of {dist.get_world_size()}: {text}", flush=True)


def save_midway(training):
    if dist.get_rank() == 0:
        training.save()
        say(f"saved a checkpoint, {training.position()}")


def leave(code):
    """Exits at once: no collective can be finished any more, and tearing the process group down might wait for one."""
    sys.stdout.flush()
    os._exit(code)


def average_in_double(world_size, bucket):
    """Averages gradients so that the order of summation cannot show.

    DDP packs the gradients anew after its first step, hence also after a resume, and gloo's order of summation follows
    the packing. The sum of a few floats in double precision is exact for all practical purposes; so an interrupted run
    ends with the very weights of an undisturbed one, and the two can be compared to the last bit.
    """
    total = dist.all_reduce(bucket.buffer().double(), async_op=True).get_future()
    return total.then(lambda done: (done.value()[0] / world_size).float())


def train_epoch(training, ddp, loader, least_seconds):
    for i, (x, y) in enumerate(loader):
        if i < training.step:
            continue  # done before the interruption
        began = time.monotonic()
        training.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(ddp(x), y)
        loss.backward()  # the ranks average their gradients here, so this is where a dead peer is noticed
        training.optimizer.step()
        training.step = i + 1
        time.sleep(max(0.0, least_seconds - (time.monotonic() - began)))
        if stopping:
            save_midway(training)
            leave(STOPPED)
    return loss.item()


def train(training, args, data):
    ddp = DistributedDataParallel(training.model)
    ddp.register_comm_hook(dist.get_world_size(), average_in_double)
    sampler = DistributedSampler(data, shuffle=True, seed=20)
    loader = DataLoader(data, batch_size=args.batch, sampler=sampler)
    # From here on there is something to save; until now SIGTERM simply ends the process.
    signal.signal(signal.SIGTERM, on_sigterm)
    while training.epoch < args.epochs:
        sampler.set_epoch(training.epoch)
        loss = train_epoch(training, ddp, loader, args.step_seconds)
        training.epoch, training.step = training.epoch + 1, 0
        if dist.get_rank() == 0:
            training.save()
            say(f"epoch {training.epoch}/{args.epochs} done, loss {loss:.4f}")


def wait_to_be_stopped(training, error):
    """A peer is gone. The weights are those of the last whole step, for only backward() talks to the peers."""
    save_midway(training)
    if not stopping:
        say(f"a peer is gone, waiting to be stopped ({str(error).split('RuntimeError: ')[-1].splitlines()[0]})")
    deadline = time.monotonic() + 10
    while not stopping and time.monotonic() < deadline:
        time.sleep(0.02)
    leave(STOPPED if stopping else 1)


@torch.no_grad()
def evaluate(training, test, directory):
    x, y = test
    accuracy = (training.model(x).argmax(dim=1) == y).float().mean().item()
    result = {"accuracy": accuracy, "weights_sha256": training.weights_sha256()}
    (directory / "result.json").write_text(json.dumps(result) + "\n")
    say(f"test accuracy {accuracy:.4f}, weights {result['weights_sha256'][:12]}")


def main():
    args = parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    train_data, test = digits()
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    training = Training(args.dir)
    if training.resume():
        say(f"pid {os.getpid()}, resumed from the checkpoint, {training.position()}")
    else:
        say(f"pid {os.getpid()}, starts from scratch")
    try:
        train(training, args, train_data)
        if dist.get_rank() == 0:
            evaluate(training, test, args.dir)
        dist.barrier()  # nobody leaves with 0 before the result is on disk
    except RuntimeError as error:
        wait_to_be_stopped(training, error)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
