"""A small residual CNN that trains from scratch on a CPU in minutes."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (ResNet's basic block, arXiv:1512.03385).

    Args:
        inputs: Input channels.
        outputs: Output channels.
        stride: Stride of the first convolution: 1, or 2 to halve height and width.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        # Average pooling before the 1x1 convolution uses all positions (ResNet-D, arXiv:1812.01187, cited by boostup).
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
        """Maps feature maps (batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        return nn.functional.relu(self.body(maps) + self.shortcut(maps))


class SmallCNN(nn.Module):
    """A strided stem and four residual stages; about 0.7 million weights at the default width.

    Args:
        width: Channels of the first stage, >= 1; each further stage doubles them.
        blocks: Residual blocks of each stage, >= 1.

    Raises:
        ValueError: An option is out of range.
    """

    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self, width: int = 24, blocks: int = 1) -> None:
        super().__init__()
        if width < 1 or blocks < 1:
            raise ValueError(f"width and blocks must be >= 1, got width={width} and blocks={blocks}")
        widths = [width * 2**stage for stage in range(4)]
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        inputs = width
        for stage, channels in enumerate(widths):
            for block in range(blocks):
                layers.append(ResidualBlock(inputs, channels, 2 if block == 0 and stage > 0 else 1))
                inputs = channels
        self.layers = nn.Sequential(*layers)
        self.num_features = inputs

    def forward(self, images: Tensor) -> Tensor:
        """Computes features (batch, `num_features`) from normalized images (batch, 3, height, width)."""
        features: Tensor = self.layers(images).mean(dim=(2, 3))
        return features
