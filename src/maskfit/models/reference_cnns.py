"""CNNs of the competition's baseline and of boostup, for training from scratch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class ThreeConv(nn.Module):
    """The competition's baseline: three convolutions, two max poolings, global average pooling.

    Its convolutions are padded here, so that it takes small images too.

    Args:
        dropout: Dropout probability after each max pooling.
    """

    mean = (0.548, 0.504, 0.479)
    std = (0.237, 0.247, 0.246)
    num_features = 128

    def __init__(self, dropout: float = 0.25) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            nn.Conv2d(64, 128, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Computes features (batch, `num_features`) from normalized images (batch, 3, height, width)."""
        features: Tensor = self.layers(images)
        return features


class DarkBlock(nn.Module):
    """A 1x1 convolution to half the channels and a 3x3 back, with a shortcut (DarkNet-53, arXiv:1804.02767).

    Args:
        channels: Input and output channels, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv_layers(channels, channels // 2, 1), *_conv_layers(channels // 2, channels, 3))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps feature maps (batch, channels, height, width) to feature maps of the same shape."""
        residual: Tensor = self.body(maps)
        return maps + residual


class CustomDark(nn.Module):
    """A DarkNet-like CNN (boostup's custom model, which scored 2.5 % accuracy, corrected so that it trains).

    Every convolution has BatchNorm and every block a shortcut; a stage has one or two blocks where DarkNet-53 has up to
    eight. About 3.7 million weights at the defaults.

    Args:
        width: Channels before the first stage, >= 2; each stage doubles them.
        blocks: Residual blocks of each stage; each stage halves height and width.

    Raises:
        ValueError: There is no stage, or a width or a count is out of range.
    """

    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self, width: int = 16, blocks: Sequence[int] = (1, 1, 2, 2, 1)) -> None:
        super().__init__()
        if width < 2 or not blocks or any(count < 0 for count in blocks):
            raise ValueError(
                f"width must be >= 2 and blocks a list of counts >= 0, got width={width} and blocks={list(blocks)}"
            )
        layers = _conv_layers(3, width, 3)
        for count in blocks:
            layers += _conv_layers(width, 2 * width, 3, stride=2)
            width *= 2
            layers += [DarkBlock(width) for _ in range(count)]
        self.layers = nn.Sequential(*layers)
        self.num_features = width

    def forward(self, images: Tensor) -> Tensor:
        """Computes features (batch, `num_features`) from normalized images (batch, 3, height, width)."""
        features: Tensor = self.layers(images).mean(dim=(2, 3))
        return features


def _conv_layers(inputs: int, channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
        nn.LeakyReLU(0.1, inplace=True),
    ]
