"""Golden values of the three networks, by PyTorch on the CPU; development only.

    python3 tests/golden/make_networks.py        (Debian: apt-get install python3-torch)

writes networks.json: for ResNet50 (Caffe graph), CNN-RNN and CNN-Transformer at reduced width, the logits, the loss and
the gradient of every parameter (norm, projection on a fixed vector, and samples), and a 10-step loss curve under SGD.
Weights and inputs come from a formula that networks_golden_test.ts computes as well, so that the file stays small.
"""
import json
import math
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

from noise import noise, rounded, summary

WIDTH, SIZE, CLASSES, IMAGES = 4, 48, 7, 8
EMBEDDING, HIDDEN, HEADS, DEPTH, CLIPS, FRAMES = 24, 12, 4, 2, 3, 9
FEATURES = 32 * WIDTH


class CaffeResNet50(nn.Module):
    """Stride 2 on the 1x1 reduce and projection convolutions, unpadded ceil-mode max pool."""

    def __init__(self):
        super().__init__()
        self.blocks = []
        self.conv_bn("conv1_7x7_s2", 3, WIDTH, 7)
        inputs = WIDTH
        for stage, count in enumerate((3, 4, 6, 3)):
            inner = WIDTH * 2**stage
            for block in range(count):
                prefix = f"conv{stage + 2}_{block + 1}"
                stride = 2 if block == 0 and stage > 0 else 1
                self.conv_bn(f"{prefix}_1x1_reduce", inputs, inner, 1)
                self.conv_bn(f"{prefix}_3x3", inner, inner, 3)
                self.conv_bn(f"{prefix}_1x1_increase", inner, 4 * inner, 1)
                if block == 0:
                    self.conv_bn(f"{prefix}_1x1_proj", inputs, 4 * inner, 1)
                self.blocks.append((prefix, block == 0, stride))
                inputs = 4 * inner

    def conv_bn(self, name, inputs, outputs, size):
        self.add_module(name, nn.Conv2d(inputs, outputs, size, bias=False))
        self.add_module(name + "_bn", nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1))

    def apply_conv(self, x, name, stride, pad):
        conv, bn = getattr(self, name), getattr(self, name + "_bn")
        return bn(F.conv2d(x, conv.weight, stride=stride, padding=pad))

    def forward(self, x):
        x = F.relu(self.apply_conv(x, "conv1_7x7_s2", 2, 3))
        x = F.max_pool2d(x, 3, 2, padding=0, ceil_mode=True)
        for prefix, first, stride in self.blocks:
            shortcut = self.apply_conv(x, prefix + "_1x1_proj", stride, 0) if first else x
            y = F.relu(self.apply_conv(x, prefix + "_1x1_reduce", stride, 0))
            y = F.relu(self.apply_conv(y, prefix + "_3x3", 1, 1))
            x = F.relu(self.apply_conv(y, prefix + "_1x1_increase", 1, 0) + shortcut)
        return x.mean((2, 3))


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = CaffeResNet50()
        self.classifier = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.classifier(self.backbone(x))


class Rnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(FEATURES, EMBEDDING)
        self.gru = nn.GRU(EMBEDDING, HIDDEN, 2, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, x):
        return self.classifier(F.relu(self.gru(F.relu(self.embed(x)))[0]))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(EMBEDDING, eps=1e-6)
        self.attn = nn.Module()
        self.attn.qkv = nn.Linear(EMBEDDING, 3 * EMBEDDING)
        self.attn.proj = nn.Linear(EMBEDDING, EMBEDDING)
        self.norm2 = nn.LayerNorm(EMBEDDING, eps=1e-6)
        self.mlp = nn.Module()
        self.mlp.fc1 = nn.Linear(EMBEDDING, 4 * EMBEDDING)
        self.mlp.fc2 = nn.Linear(4 * EMBEDDING, EMBEDDING)

    def forward(self, x):
        clips, frames, _ = x.shape
        heads = self.attn.qkv(self.norm1(x)).reshape(clips, frames, 3, HEADS, EMBEDDING // HEADS)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-1, -2) / math.sqrt(EMBEDDING // HEADS)).softmax(-1)
        mixed = (attention @ v).transpose(1, 2).reshape(clips, frames, EMBEDDING)
        x = x + self.attn.proj(mixed)
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(FEATURES, EMBEDDING)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(EMBEDDING, eps=1e-6)
        self.classifier = nn.Linear(EMBEDDING, CLASSES)

    def forward(self, x):
        t = torch.arange(FRAMES, dtype=torch.float64)[:, None]
        d = torch.arange(EMBEDDING)[None]
        angle = t / 10000.0 ** ((d - d % 2).double() / EMBEDDING)
        positions = torch.where(d % 2 == 0, angle.sin(), angle.cos()).float()
        x = self.embed(x) + positions
        for block in self.blocks:
            x = block(x)
        return self.classifier(self.norm(x))


def initialise(model, prefix):
    """Sets every parameter from the formula; returns them under Fervid's names."""
    named = {}
    for name, parameter in model.named_parameters():
        full = prefix + name.replace("backbone.", "")
        values = noise(full, parameter.shape)
        if parameter.dim() > 1:
            values = values * math.sqrt(3 / math.prod(parameter.shape[1:]))
        elif full.endswith("increase_bn.weight"):
            # Damped residual branches: without them ten steps in float32 and in float64 part ways.
            values = 0.2 * (1 + 0.2 * values)
        elif full.endswith("bn.weight") or ".norm" in full and full.endswith("weight"):
            values = 1 + 0.2 * values
        else:
            values = 0.1 * values
        parameter.data.copy_(values)
        named[full] = parameter
    return named


def golden(model, prefix, x, labels, lr):
    named = initialise(model, prefix)
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    result = {"lr": lr, "losses": []}
    for step in range(10):
        logits = model(x)
        loss = F.cross_entropy(logits.reshape(-1, CLASSES), labels.flatten(), ignore_index=-1)
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            result["logits"] = logits.detach().flatten().tolist()
            result["gradients"] = {name: summary(name, p.grad) for name, p in named.items()}
        result["losses"].append(loss.item())
        optimiser.step()
    result["weights"] = {name: summary(name, p.data) for name, p in named.items()}
    for name, buffer in model.named_buffers():
        if "running" in name:
            result["weights"][prefix + name.replace("backbone.", "")] = summary(prefix + name.replace("backbone.", ""), buffer)
    model.eval()
    result["evaluation"] = model(x).detach().flatten().tolist()
    return result


def main():
    torch.manual_seed(0)
    images = noise("images", (IMAGES, 3, SIZE, SIZE))
    features = noise("features", (CLIPS, FRAMES, FEATURES)).abs()
    frame_labels = torch.tensor([[(3 * c + t) % 8 - 1 for t in range(FRAMES)] for c in range(CLIPS)])
    result = {
        "cnn": golden(Cnn(), "", images, torch.arange(IMAGES) % CLASSES, 5e-4),
        "rnn": golden(Rnn(), "rnn.", features, frame_labels, 0.02),
        "transformer": golden(Transformer(), "transformer.", features, frame_labels, 0.02),
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "networks.json")
    with open(path, "w") as file:
        json.dump(rounded(result), file, separators=(",", ":"))
    print(path, os.path.getsize(path), "bytes;", {k: v["losses"] for k, v in result.items()})


if __name__ == "__main__":
    main()
