"""Makes the files of tests/golden/weights: run `python3 make_weights.py` with PyTorch (1.13 or newer), numpy and h5py
(Debian: python3-torch, python3-h5py). Every value comes from `values` below, which tests/golden/weights.ts repeats, so
that the tests know each of them without a second copy; features and the odd values are in expected.json.
"""

import gzip
import io
import json
import pickle
import struct
import zlib
from collections import OrderedDict
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

OUT = Path(__file__).parent / "weights"
STAGES = [3, 4, 6, 3]
MEAN_RGB = [131.0912, 103.8827, 91.4953]
LEAVES = ["weight", "bias", "running_mean", "running_var"]
KERAS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def units(name, count):
    """Numbers in [-.5, .5), by hashing the name and the index."""
    x = (zlib.crc32(name.encode()) + np.arange(count, dtype=np.uint64) * 2654435761) & 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 0x45D9F3B) & 0xFFFFFFFF
    x ^= x >> 16
    return x.astype(np.float64) / 2**32 - 0.5


def values(name, shape):
    """A parameter of ResNet50 by its dag name, as float32."""
    u = units(name, int(np.prod(shape))).reshape(shape)
    if name.endswith("running_var"):
        u = (1 + u) * (5000 if name.startswith("conv1_") else 1)
    elif name.endswith("_bn.weight"):
        u = 1 + u
    elif len(shape) > 1:
        u = u * np.sqrt(24 / np.prod(shape[1:]))
    return u.astype(np.float32)


def layers(width):
    """(dag name, torchvision's conv, torchvision's bn, shape, stride, pad) of every convolution, in the graph's order."""
    yield "conv1_7x7_s2", "conv1", "bn1", (width, 3, 7, 7)
    inputs = width
    for s, count in enumerate(STAGES):
        inner = width * 2**s
        for b in range(count):
            dag, vision = f"conv{s + 2}_{b + 1}", f"layer{s + 1}.{b}"
            yield f"{dag}_1x1_reduce", f"{vision}.conv1", f"{vision}.bn1", (inner, inputs, 1, 1)
            yield f"{dag}_3x3", f"{vision}.conv2", f"{vision}.bn2", (inner, inner, 3, 3)
            yield f"{dag}_1x1_increase", f"{vision}.conv3", f"{vision}.bn3", (4 * inner, inner, 1, 1)
            if b == 0:
                yield f"{dag}_1x1_proj", f"{vision}.downsample.0", f"{vision}.downsample.1", (4 * inner, inputs, 1, 1)
            inputs = 4 * inner


def parameters(width, classes):
    """dag name -> array, OIHW."""
    named = OrderedDict()
    for dag, _, _, shape in layers(width):
        named[f"{dag}.weight"] = values(f"{dag}.weight", shape)
        for leaf in LEAVES:
            named[f"{dag}_bn.{leaf}"] = values(f"{dag}_bn.{leaf}", shape[:1])
    named["classifier.weight"] = values("classifier.weight", (classes, 32 * width, 1, 1))
    named["classifier.bias"] = values("classifier.bias", (classes,))
    return named


class ResNet50(nn.Module):
    """The Caffe graph, or torchvision's: where the stride of 2 is, and whether the pool is padded."""

    def __init__(self, width, eps=1e-5, torchvision=False):
        super().__init__()
        self.torchvision = torchvision
        self.named = {}
        for dag, _, _, (outputs, inputs, size, _) in layers(width):
            first = dag.startswith(("conv3_1", "conv4_1", "conv5_1"))
            strided = ("3x3", "proj") if torchvision else ("reduce", "proj")
            stride = 2 if dag == "conv1_7x7_s2" or (first and dag.endswith(strided)) else 1
            conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
            self.named[dag] = nn.Sequential(conv, nn.BatchNorm2d(outputs, eps))
        self.layers = nn.ModuleList(self.named.values())

    def load(self, named):
        for dag, (conv, norm) in self.named.items():
            conv.weight.data = torch.from_numpy(named[f"{dag}.weight"])
            for leaf in LEAVES:
                getattr(norm, leaf).data = torch.from_numpy(named[f"{dag}_bn.{leaf}"])
        return self.double().eval()

    def forward(self, x):
        x = F.relu(self.named["conv1_7x7_s2"](x))
        x = F.max_pool2d(x, 3, 2, 1) if self.torchvision else F.max_pool2d(x, 3, 2, ceil_mode=True)
        for s, count in enumerate(STAGES):
            for b in range(count):
                name = f"conv{s + 2}_{b + 1}_"
                shortcut = self.named[name + "1x1_proj"](x) if b == 0 else x
                y = F.relu(self.named[name + "1x1_reduce"](x))
                y = F.relu(self.named[name + "3x3"](y))
                x = F.relu(self.named[name + "1x1_increase"](y) + shortcut)
        return x.mean((2, 3))


def images(count, size):
    """RGB bytes [N, 3, H, W]."""
    u = units("images", count * size * size * 3).reshape(count, size, size, 3)
    return np.floor((u + 0.5) * 256).transpose(0, 3, 1, 2)


def features(network, order="rgb"):
    mean = np.array(MEAN_RGB).reshape(1, 3, 1, 1)
    x = images(2, 48) - mean
    x = x if order == "rgb" else x[:, ::-1].copy()
    with torch.no_grad():
        return network(torch.from_numpy(x)).numpy().round(12).tolist()


def python2_pickle(arrays):
    """What Python 2 writes in protocol 2 for a dict of arrays: names and bytes are strings."""
    out = io.BytesIO()

    def text(value):
        short = len(value) < 256
        out.write(b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value)))
        out.write(value)

    out.write(b"\x80\x02}(")
    for name, array in arrays.items():
        text(name.encode())
        out.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01")
        out.write(b"(" + b"".join(b"J" + struct.pack("<i", size) for size in array.shape) + b"t")
        out.write(b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        text(array.tobytes())
        out.write(b"tb")
    out.write(b"u.")
    loaded = pickle.loads(out.getvalue(), encoding="latin1")
    assert all((loaded[name] == array).all() for name, array in arrays.items())
    return out.getvalue()


def make_resnets():
    width = 4
    named = parameters(width, 7)
    state = OrderedDict((name, torch.from_numpy(array)) for name, array in named.items())
    torch.save(state, OUT / "resnet50_dag_old.pth", _use_new_zipfile_serialization=False)
    expected = {
        "dag": features(ResNet50(width).load(named)),
        "torchvision": features(ResNet50(width, torchvision=True).load(named)),
    }

    width = 2
    named = parameters(width, 7)
    vision = OrderedDict()
    for dag, conv, norm, _ in layers(width):
        vision[f"{conv}.weight"] = named[f"{dag}.weight"]
        for leaf in LEAVES:
            vision[f"{norm}.{leaf}"] = named[f"{dag}_bn.{leaf}"]
    vision["fc.weight"] = named["classifier.weight"][:, :, 0, 0]
    vision["fc.bias"] = named["classifier.bias"]
    (OUT / "resnet50_torchvision_names.pkl").write_bytes(python2_pickle(vision))
    expected["pickle"] = features(ResNet50(width).load(named), "bgr")

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for dag, _, _, _ in layers(width):
            layer = dag.replace("conv1_7x7", "conv1/7x7")
            write_keras(file, layer, {"kernel": named[f"{dag}.weight"].transpose(2, 3, 1, 0)})
            write_keras(file, f"{layer}/bn", {KERAS[leaf]: named[f"{dag}_bn.{leaf}"] for leaf in LEAVES})
        classifier = {"kernel": named["classifier.weight"][:, :, 0, 0].T, "bias": named["classifier.bias"]}
        write_keras(file, "classifier", classifier)
    # HDF5's own description of 267 small tensors takes 400 KB, nearly all zeros.
    (OUT / "resnet50_keras.h5.gz").write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
    expected["keras"] = features(ResNet50(width, eps=1e-3).load(named), "bgr")
    return expected


def write_keras(file, layer, arrays):
    group = file.require_group(layer)
    group.attrs["weight_names"] = [f"{layer}/{leaf}:0".encode() for leaf in arrays]
    for leaf, array in arrays.items():
        group.create_dataset(f"{layer}/{leaf}:0", data=array)


def odd_tensors():
    """Every dtype, and every way in which a tensor can lie in its storage."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 4
    state = OrderedDict()
    for dtype in [torch.float64, torch.float32, torch.float16, torch.bfloat16]:
        state[str(dtype)[6:]] = torch.tensor([[0.5, -1.25, 3e-3], [65000, -7e-5, 1 / 3]], dtype=dtype)
    for dtype in [torch.int64, torch.int32, torch.int16, torch.int8]:
        low = torch.iinfo(dtype).min
        state[str(dtype)[6:]] = torch.tensor([low, -1, 0, -(low + 1)], dtype=dtype)
    state["uint8"] = torch.tensor([0, 1, 255], dtype=torch.uint8)
    state["bool"] = torch.tensor([True, False, True])
    state["rows"] = base[1:3]
    state["window"] = base[1:3, 2:5]
    state["every_second"] = base[::2, ::3]
    state["transposed"] = base.t()
    state["permuted"] = base.reshape(2, 3, 4).permute(2, 0, 1)
    state["expanded"] = torch.tensor([[1.0, 2.0, 3.0]]).expand(4, 3)
    state["diagonal"] = base.diagonal()
    state["empty"] = torch.zeros(0, 3)
    state["scalar"] = torch.tensor(3.5)
    state["parameter"] = nn.Parameter(torch.tensor([1.0, 2.0]))
    return OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())


def described(tensor):
    wide = tensor.detach().double() if tensor.dtype.is_floating_point else tensor
    kept = [str(int(v)) if tensor.dtype == torch.int64 else v for v in wide.reshape(-1).tolist()]
    return {"dtype": str(tensor.dtype)[6:], "shape": list(tensor.shape), "values": kept}


def make_odd():
    state = odd_tensors()
    momentum = torch.tensor([[0.25, -0.5]])
    checkpoint = {
        "epoch": 5,
        "best": 0.75,
        "notes": ["text", None, (True, 2, 2**70)],
        "state_dict": state,
        "optimizer": {
            "state": {0: {"momentum_buffer": momentum, "step": 3}},
            "param_groups": [{"lr": 1e-3, "params": [0, 1]}],
        },
    }
    torch.save(checkpoint, OUT / "odd_zip.pth")
    torch.save(checkpoint, OUT / "odd_old.pth", _use_new_zipfile_serialization=False)
    expected = {f"state_dict.{name}": described(tensor) for name, tensor in state.items()}
    expected["optimizer.state.0.momentum_buffer"] = described(momentum)
    return expected


def make_arrays():
    arrays = {
        "f8": np.array([[1.5, -2.5], [1 / 3, 1e300]]),
        "f4": np.arange(6, dtype="f4").reshape(2, 3) / 3,
        "f2": np.array([1.5, -0.1], dtype="f2"),
        "i8": np.array([-(2**63), 2**63 - 1]),
        "u1": np.arange(256, dtype="u1"),
        "b1": np.array([True, False]),
        "fortran": np.asfortranarray(np.arange(24, dtype="f4").reshape(2, 3, 4)),
        "big_endian": (np.arange(4) / 7).astype(">f4"),
        "scalar": np.array(2.5, dtype="f4"),
        "empty": np.zeros((0, 2), dtype="f4"),
        "long": np.arange(45000).astype("u1"),
    }
    np.savez_compressed(OUT / "arrays_compressed.npz", **arrays)
    np.savez(OUT / "arrays.npz", **{name: array for name, array in arrays.items() if name != "long"})
    for protocol in [0, 2, 5]:
        kept = {name: array for name, array in arrays.items() if protocol == 2 or name != "long"}
        (OUT / f"arrays_protocol{protocol}.pkl").write_bytes(pickle.dumps(kept, protocol=protocol))
    with h5py.File(OUT / "arrays.h5", "w") as file:
        for name, array in arrays.items():
            packed = {"compression": "gzip", "shuffle": True} if name == "long" else {}
            file.create_dataset(name, data=array, **packed)
    with h5py.File(OUT / "claims_4_terabytes.h5", "w") as file:
        file.create_dataset("weight", shape=(1 << 40,), dtype="f4", chunks=(1024,))
    return {
        name: {
            "shape": list(array.shape),
            "values": [str(v) if name == "i8" else v for v in array.reshape(-1).tolist()],
        }
        for name, array in arrays.items()
        if name != "long"
    }


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    expected = {"features": make_resnets(), "odd": make_odd(), "arrays": make_arrays()}
    (OUT / "expected.json").write_text(json.dumps(expected) + "\n")
