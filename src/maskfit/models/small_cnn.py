"""Small convolutional trunks that learn from nothing, in minutes, on a processor."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; halves the picture where `stride` is 2 (ResNet's basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        # Averaging before the 1x1 keeps all pixels in play (ResNet-D, arXiv:1812.01187, which seed s0 cites).
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )
        )

    def forward(self, maps: Tensor) -> Tensor:
        return nn.functional.relu(self.body(maps) + self.shortcut(maps))


class SmallCNN(nn.Module):
    """Four residual stages on a strided stem; about 0.7 million weights at the default width.

    Args:
        width: Channels of the first stage; each next stage doubles them.
        blocks: Residual blocks of each stage.
    """

    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self, width: int = 24, blocks: int = 1) -> None:
        super().__init__()
        if width < 1 or blocks < 1:
            raise ValueError("width and blocks must be 1 or more")
        widths = [width * 2**stage for stage in range(4)]
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        before = width
        for stage, channels in enumerate(widths):
            for block in range(blocks):
                layers.append(ResidualBlock(before, channels, 2 if block == 0 and stage > 0 else 1))
                before = channels
        self.layers = nn.Sequential(*layers)
        self.num_features = before

    def forward(self, photos: Tensor) -> Tensor:
        """Photos (batch, 3, height, width) as features (batch, `num_features`)."""
        features: Tensor = self.layers(photos).mean(dim=(2, 3))
        return features
