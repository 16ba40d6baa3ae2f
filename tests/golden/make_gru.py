"""Golden values of a bidirectional GRU of two layers, by PyTorch on the CPU in float64; development only.

    python3 tests/golden/make_gru.py        (Debian: apt-get install python3-torch)

writes gru.safetensors. Per case: x, h0, the weights, and dy and dhn, the gradients of a loss at y and h_n; then PyTorch's y
and hn, and the gradient of every input under `grad.`. Inputs are float32 values. Weights are transposed to the kernels'
layout, [D, 3G] and [G, 3G]; the gates' order r, z, n is PyTorch's own.
"""
import json
import os
import struct

import torch

VERSION = "1"
# name: clips, frames, depth, hidden, whether there is an initial state
CASES = {"padded": (3, 4, 5, 6, True), "whole": (2, 5, 3, 8, False)}


def rounded(*shape):
    """Random values in [-1, 1) that a float32 holds exactly."""
    return (2 * torch.rand(*shape) - 1).float().double()


def ours(name, tensor):
    return tensor.t() if name.split(".")[-1].startswith("weight") else tensor


def run(clips, frames, depth, hidden, with_state):
    gru = torch.nn.GRU(depth, hidden, num_layers=2, bidirectional=True, batch_first=True).double()
    with torch.no_grad():
        for parameter in gru.parameters():
            parameter.copy_(rounded(*parameter.shape) * 0.5)
    inputs = {"x": rounded(clips, frames, depth).requires_grad_()}
    if with_state:
        inputs["h0"] = rounded(4, clips, hidden).requires_grad_()
    y, hn = gru(inputs["x"], inputs.get("h0"))
    dy, dhn = rounded(*y.shape), rounded(*hn.shape)
    ((y * dy).sum() + (hn * dhn).sum()).backward()
    inputs.update(gru.named_parameters())
    tensors = {**inputs, "dy": dy, "dhn": dhn, "y": y, "hn": hn}
    tensors.update({f"grad.{name}": tensor.grad for name, tensor in inputs.items()})
    return {name: ours(name, tensor.detach()).contiguous() for name, tensor in tensors.items()}


def write(path, tensors, metadata):
    """The safetensors format: length of the header, the header, the values."""
    header, offset = {"__metadata__": metadata}, 0
    for name, tensor in tensors.items():
        size = 8 * tensor.numel()
        header[name] = {"dtype": "F64", "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.numpy().tobytes())


torch.manual_seed(4)
everything = {}
for case, sizes in CASES.items():
    everything.update({f"{case}/{name}": tensor for name, tensor in run(*sizes).items()})
target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gru.safetensors")
write(target, everything, {"version": VERSION, "torch": torch.__version__})
