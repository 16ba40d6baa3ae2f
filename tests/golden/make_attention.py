"""Golden values of multi-head self-attention, by PyTorch's nn.MultiheadAttention in float64; development only.

    python3 tests/golden/make_attention.py        (Debian: apt-get install python3-torch)

writes attention.json: for 12 heads at D 768, the norm, a projection and samples of the output and of every gradient, in
our layout (weights [in, out]). Weights, inputs and the output's gradient are noise.py's.
"""
import json
import os

import torch

from noise import noise, rounded, summary

DEPTH, HEADS = 768, 12
SCALE = 1 / 16  # of the weights: the scores' deviation is 1.8, so that the softmax is neither flat nor one-hot
# clips, frames, masked (clip, frame)
CASES = {
    "plain": (3, 9, []),
    "masked, one key left in a clip": (3, 9, [[0, 0], [0, 8], *([1, t] for t in range(9) if t != 4)]),
    "long, masked": (1, 40, [[0, t] for t in range(25, 31)]),
}


def golden(clips, frames, masked):
    layer = torch.nn.MultiheadAttention(DEPTH, HEADS, batch_first=True, dtype=torch.float64)
    parameters = {
        "qkvWeight": layer.in_proj_weight,
        "qkvBias": layer.in_proj_bias,
        "outputWeight": layer.out_proj.weight,
        "outputBias": layer.out_proj.bias,
    }
    for name, parameter in parameters.items():
        # ours are [in, out]
        values = SCALE * noise(name, parameter.shape[::-1]).double()
        parameter.data.copy_(values.T if parameter.dim() == 2 else values)
    x = noise("x", (clips, frames, DEPTH)).double().requires_grad_()
    mask = torch.zeros((clips, frames), dtype=torch.bool)
    for clip, frame in masked:
        mask[clip, frame] = True
    y, _ = layer(x, x, x, key_padding_mask=mask if masked else None, need_weights=False)
    y.backward(noise("dy", y.shape).double())
    tensors = {"y": y, "x": x.grad}
    for name, parameter in parameters.items():
        tensors[name] = parameter.grad.T if parameter.dim() == 2 else parameter.grad
    return {name: summary(name, tensor) for name, tensor in tensors.items()}


result = {
    name: {"clips": clips, "frames": frames, "masked": masked, "tensors": rounded(golden(clips, frames, masked))}
    for name, (clips, frames, masked) in CASES.items()
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "attention.json")
with open(path, "w") as file:
    json.dump(result, file, separators=(",", ":"))
print(path, os.path.getsize(path), "bytes")
