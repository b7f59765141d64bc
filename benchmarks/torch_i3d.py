"""The peer of training.py: the same Inception I3D as a plain torch module, layer by layer and padding by padding."""

import torch
from torch import nn
from torch.nn import functional

from keras_i3d.models.inception import CONV, LAYERS, POOL, PUBLISHED_NAMES


class Unit(nn.Module):
    """Convolution with SAME padding at even sizes, batch norm without a scale, ReLU."""

    def __init__(self, before, filters, kernel, stride=1):
        super().__init__()
        self.strided = max(kernel) > 1 and stride != 1
        padding = 0 if self.strided else tuple(k // 2 for k in kernel)
        self.conv = nn.Conv3d(before, filters, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm3d(filters, eps=1e-3, momentum=0.001)
        self.norm.weight.requires_grad_(False)

    def forward(self, x):
        if self.strided:
            x = functional.pad(x, (2, 3) * 3)  # kernel 7, stride 2
        return functional.relu(self.norm(self.conv(x)), inplace=True)


class Mixed(nn.Module):
    def __init__(self, before, widths):
        super().__init__()
        width_0, width_1a, width_1b, width_2a, width_2b, width_3 = widths
        one, three = (1, 1, 1), (3, 3, 3)
        self.units = nn.ModuleDict(
            {
                "Branch_0_Conv3d_0a_1x1": Unit(before, width_0, one),
                "Branch_1_Conv3d_0a_1x1": Unit(before, width_1a, one),
                "Branch_1_Conv3d_0b_3x3": Unit(width_1a, width_1b, three),
                "Branch_2_Conv3d_0a_1x1": Unit(before, width_2a, one),
                "Branch_2_Conv3d_0b_3x3": Unit(width_2a, width_2b, three),
                "Branch_3_Conv3d_0b_1x1": Unit(before, width_3, one),
            }
        )

    def forward(self, x):
        zero, one, one_b, two, two_b, three = self.units.values()
        pooled = functional.max_pool3d(x, 3, 1, 1)
        return torch.cat([zero(x), one_b(one(x)), two_b(two(x)), three(pooled)], 1)


class I3D(nn.Module):
    """Takes (B, C, T, H, W) in [-1, 1] and returns logits (B, classes) in float32."""

    def __init__(self, classes=400, channels=3, dropout=0.5):
        super().__init__()
        self.endpoints = nn.ModuleDict()
        for name, kind, *settings in LAYERS:
            if kind == CONV:
                filters, kernel, strides = settings
                self.endpoints[name] = Unit(channels, filters, kernel, strides if max(strides) > 1 else 1)
                channels = filters
            elif kind == POOL:
                # Rounding up is what SAME padding comes to at even sizes: the last window is cut short.
                self.endpoints[name] = nn.MaxPool3d(*settings, ceil_mode=True)
            else:
                self.endpoints[name] = Mixed(channels, settings)
                width_0, _, width_1b, _, width_2b, width_3 = settings
                channels = width_0 + width_1b + width_2b + width_3
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Conv3d(channels, classes, 1)

    def forward(self, x):
        for endpoint in self.endpoints.values():
            x = endpoint(x)
        with torch.autocast("cpu", enabled=False):
            x = functional.avg_pool3d(x.float(), (2, min(7, x.shape[3]), min(7, x.shape[4])), 1)
            return self.logits(self.dropout(x)).mean((2, 3, 4))

    @torch.no_grad()
    def load(self, weights):
        """Takes {"layer/variable": array} of the Keras model."""
        units = {}
        for name, endpoint in self.endpoints.items():
            if isinstance(endpoint, Unit):
                units[name] = endpoint
            elif isinstance(endpoint, Mixed):
                for suffix, unit in endpoint.units.items():
                    units[PUBLISHED_NAMES.get(f"{name}_{suffix}", f"{name}_{suffix}")] = unit
        for name, unit in units.items():
            put(unit.conv.weight, weights[f"{name}_conv_3d/kernel"].transpose(4, 3, 0, 1, 2))
            put(unit.norm.bias, weights[f"{name}_batch_norm/beta"])
            put(unit.norm.running_mean, weights[f"{name}_batch_norm/moving_mean"])
            put(unit.norm.running_var, weights[f"{name}_batch_norm/moving_variance"])
        put(self.logits.weight, weights["Logits_Conv3d_0c_1x1_conv_3d/kernel"].transpose(4, 3, 0, 1, 2))
        put(self.logits.bias, weights["Logits_Conv3d_0c_1x1_conv_3d/bias"])


def put(tensor, array):
    tensor.copy_(torch.from_numpy(array.copy()))
