"""Encoder and decoder of square images whose side is a multiple of 4."""

from torch import Tensor, nn


class Encoder(nn.Sequential):
    """(batch, 3, size, size) to mean and logarithm of the variance, (batch, 2 x latent)."""

    def __init__(self, width: int, latent: int, size: int) -> None:
        super().__init__(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(width * (size // 4) ** 2, 2 * latent),
        )


class Decoder(nn.Module):
    """(batch, latent) to (batch, 3, size, size) in [-1, 1]."""

    def __init__(self, width: int, latent: int, size: int) -> None:
        super().__init__()
        self.shape = (width, size // 4, size // 4)
        self.spread = nn.Linear(latent, width * (size // 4) ** 2)
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(width, width, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(width, 3, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, code: Tensor) -> Tensor:
        return self.layers(self.spread(code).unflatten(1, self.shape))
