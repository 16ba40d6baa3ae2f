"""The time of ResNet50's steps beside PyTorch's CPU build, on the same machine; development only.

    python3 tests/golden/time_networks.py [--width 16] [--size 48] [--batch 16] [--rounds 3]

Both train the same network (Caffe graph, softmax cross-entropy, SGD with momentum and weight decay) on one batch of
random images, in turns: PyTorch here, ours by `deno task profile`, whose "as it usually runs" is a step by the host's
clock. Printed: milliseconds of a training step and of a forward pass, medians of the rounds, and the ratios.
"""
import argparse
import json
import os
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F

import make_networks

SECONDS = 2  # of measuring PyTorch in a round


def step_of(model, images, labels, mode):
    """One training step, or one forward pass without gradients."""
    if mode == "inference":
        model.eval()

        def forward():
            with torch.no_grad():
                model(images)

        return forward
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def train():
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return train


def time_pytorch(step):
    """Milliseconds of a step: the median of those of some seconds, after three."""
    for _ in range(3):
        step()
    times = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def time_ours(options, mode):
    """Milliseconds of a step of ours, and the adapter."""
    command = ["deno", "task", "profile", "--model", "cnn", "--mode", mode, "--width", str(options.width)]
    command += ["--size", str(options.size), "--batch", str(options.batch)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(output.strip().splitlines()[-1])
    return result["usual_ms"], result["adapter"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("width", 16), ("size", 48), ("batch", 16), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    make_networks.WIDTH = options.width
    make_networks.FEATURES = 32 * options.width
    model = make_networks.Cnn()
    images = torch.rand(options.batch, 3, options.size, options.size)
    labels = torch.arange(options.batch) % make_networks.CLASSES
    size = f"width {options.width}, {options.size}x{options.size}, batch {options.batch}"
    print(f"ResNet50, {size}; PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    for mode in ("train", "inference"):
        step = step_of(model, images, labels, mode)
        theirs, ours = [], []
        for _ in range(options.rounds):
            theirs.append(time_pytorch(step))
            milliseconds, adapter = time_ours(options, mode)
            ours.append(milliseconds)
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"{mode:9}  ours {a:.1f} ms ({adapter}), PyTorch {b:.1f} ms, {a / b:.2f} times as long")


if __name__ == "__main__":
    main()
