"""What the scripts that make golden values share: inputs from a formula, and what is kept of a large tensor.

noise.ts is the twin that the tests use.
"""
import math

import torch

SAMPLES = 8


def fnv1a(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def noise(name, shape):
    """Values in [-1, 1) from a 32-bit integer hash of (name, index)."""
    count = math.prod(shape)
    x = (torch.arange(count, dtype=torch.int64) * 2654435761 + fnv1a(name)) & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = x ^ (x >> shift)
        # 32-bit product by halves: the whole one does not fit an int64
        x = ((x & 0xFFFF) * factor + (((x >> 16) * factor & 0xFFFF) << 16)) & 0xFFFFFFFF
    x = x ^ (x >> 16)
    return (x.double() / 2**31 - 1).float().reshape(shape)


def summary(name, tensor):
    values = tensor.detach().double().flatten()
    weights = noise("projection/" + name, values.shape).double()
    step = max(1, len(values) // SAMPLES)
    return {
        "norm": values.norm().item(),
        "projection": (values @ weights).item(),
        "samples": values[::step][:SAMPLES].tolist(),
    }


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.7g}")
