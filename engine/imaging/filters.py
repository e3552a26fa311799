"""Gaussian blur and sharpening of images [b h w c] and latents [b c h w]."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["blur", "convolve_reflected", "gaussian_kernel", "sharpen", "sharpening_kernel"]


def gaussian_kernel(radius: int, sigma: float) -> torch.Tensor:
    """A normalised kernel [k k], k = 2 radius + 1, of exp(-r²/2σ²) where the kernel spans [-1, 1] on both axes.

    So `sigma` is in units of the radius: 1 makes a nearly flat kernel, 0.1 a narrow one.
    """
    axis = torch.linspace(-1, 1, 2 * radius + 1)
    squared = axis[:, None] ** 2 + axis[None, :] ** 2
    kernel = torch.exp(-squared / (2 * sigma * sigma))
    return kernel / kernel.sum()


def sharpening_kernel(radius: int, sigma: float, strength: float) -> torch.Tensor:
    """Identity plus `strength` times (identity - gaussian): a kernel [k k] whose entries sum to 1."""
    kernel = gaussian_kernel(radius, sigma) * -strength
    kernel[radius, radius] += 1.0 - kernel.sum()
    return kernel


def convolve_reflected(tensor: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Each channel of [b c h w] convolved with the odd, symmetric kernel [k k]; borders mirror at the edge pixel.

    The mirror is repeated when the kernel is larger than the image, so every size works.
    """
    radius = kernel.shape[0] // 2
    rows, columns = (_mirrored(length, radius, tensor.device) for length in tensor.shape[-2:])
    padded = tensor[..., rows, :][..., columns]
    channels = tensor.shape[1]
    weight = kernel.to(tensor).expand(channels, 1, *kernel.shape)
    return F.conv2d(padded, weight, groups=channels)


def blur(image: torch.Tensor, radius: int, sigma: float) -> torch.Tensor:
    """Gaussian blur of [b h w c]; radius 0 gives the image itself."""
    if radius == 0:
        return image
    return convolve_reflected(image.movedim(-1, 1), gaussian_kernel(radius, sigma)).movedim(1, -1)


def sharpen(image: torch.Tensor, radius: int, sigma: float, alpha: float) -> torch.Tensor:
    """Unsharp mask of [b h w c] with strength 10 alpha, clipped to [0, 1]; radius 0 gives the image itself."""
    if radius == 0:
        return image
    kernel = sharpening_kernel(radius, sigma, 10 * alpha)
    return convolve_reflected(image.movedim(-1, 1), kernel).movedim(1, -1).clamp(0, 1)


def _mirrored(length: int, radius: int, device: torch.device) -> torch.Tensor:
    index = torch.arange(-radius, length + radius, device=device)
    period = max(2 * (length - 1), 1)
    index = index.remainder(period)
    return torch.where(index >= length, period - index, index).clamp(0, length - 1)
