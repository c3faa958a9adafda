"""Invertible maps of codes whose log determinant is cheap: the layers of flows.

Each takes z (..., J) to out (..., J) and tells ``log |det(d out / d z)|`` beside it,
(...), in nats: what the log density loses on the way. Those that are told a context
(..., C) are another map for each x. Coupling and autoregressive layers start as the
identity, for their last weights are zero; so does a planar one, by its first bias.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from vae_lib.domains import require

STEEPEST = 2.0  # no layer stretches a dimension by more than exp(2), or shrinks it
MARGIN = 1e-6  # by which a planar layer stays invertible, also after rounding


def bounded(raw: Tensor) -> Tensor:
    """Log scales within +-STEEPEST, of the slope 1 about zero, elementwise."""
    return STEEPEST * torch.tanh(raw / STEEPEST)


def zeroed(layer: nn.Linear) -> nn.Linear:
    """The same layer with the output zero, whatever comes in."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Coupling(nn.Module):
    """One half of z is scaled and shifted by what a small network reads in the other.

    The Jacobian is triangular, and the way back as cheap as the way there.

    Args:
        dim: J >= 2; the first half has J // 2 numbers.
        width: of the network's hidden layer.
        flip: move the first half instead of the second.

    Raises ValueError if there is but one dimension.
    Source: Dinh, Sohl-Dickstein & Bengio (2017), section 3.
    """

    def __init__(self, dim: int, width: int, *, flip: bool = False):
        super().__init__()
        require(dim > 1, "at least 2 dimensions for a coupling layer", dim)
        self.sizes, self.flip = [dim // 2, dim - dim // 2], flip
        n_known, n_moved = self.sizes[::-1] if flip else self.sizes
        last = zeroed(nn.Linear(width, 2 * n_moved))
        self.network = nn.Sequential(nn.Linear(n_known, width), nn.Tanh(), last)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """out and log_det of z."""
        known, moved = self._halves(z)
        log_scale, shift = self._affine(known)
        out = moved * log_scale.exp() + shift
        return self._joined(known, out), log_scale.sum(-1)

    def inverse(self, out: Tensor) -> Tensor:
        """The z that is mapped to out."""
        known, moved = self._halves(out)
        log_scale, shift = self._affine(known)
        return self._joined(known, (moved - shift) * (-log_scale).exp())

    def _affine(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """Log scale and shift of the moved half, in known's type under autocast too."""
        raw, shift = self.network(known).to(known.dtype).chunk(2, dim=-1)
        return bounded(raw), shift

    def _halves(self, z: Tensor) -> tuple[Tensor, Tensor]:
        first, second = z.split(self.sizes, dim=-1)
        return (second, first) if self.flip else (first, second)

    def _joined(self, known: Tensor, moved: Tensor) -> Tensor:
        return torch.cat((moved, known) if self.flip else (known, moved), dim=-1)


class Planar(nn.Module):
    """z + u tanh(w'z + b): a push along u, across the plane w'z + b = 0.

    u, w and b are another triple for each context, by a small network. The layer is
    invertible where w'u > -1, and for that u has its part along w replaced: w'u becomes
    m(w'u), m(a) = -1 + log(1 + exp(a)), and u grows by ``(m(w'u) - w'u) w / |w|^2``.
    (Divided by ``|w|`` alone, as in much published code, the condition may not hold.)

    Args:
        dim: J.
        n_context: C.
        width: of the network's hidden layer.

    Source: Rezende & Mohamed (2015), section 4.1 and Appendix A.
    """

    def __init__(self, dim: int, n_context: int, width: int):
        super().__init__()
        self.sizes = [dim, dim, 1]
        last = zeroed(nn.Linear(width, 2 * dim + 1))
        w = nn.functional.normalize(torch.randn(dim), dim=0)
        with torch.no_grad():  # w'u is where m is zero: no push along w, none across
            last.bias[:dim] = math.log(math.expm1(1 - MARGIN)) * w
            last.bias[dim : 2 * dim] = w
        self.network = nn.Sequential(nn.Linear(n_context, width), nn.Tanh(), last)

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """out and log_det of z; the context's leading dimensions broadcast."""
        raw = self.network(context).to(z.dtype)
        u, w, b = raw.split(self.sizes, dim=-1)
        a = (w * u).sum(-1, keepdim=True)  # (..., 1)
        above = softplus(a) + MARGIN  # m + 1 > 0
        u = u + (above - 1 - a) * w / w.square().sum(-1, keepdim=True)
        t = torch.tanh((w * z).sum(-1, keepdim=True) + b)
        # 1 + (1 - t^2) m without the cancellation, so that no rounding ends at zero.
        det = t.square() + (1 - t.square()) * above
        return z + u * t, det.squeeze(-1).log()


class MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are zero for good: mask (n_out, n_in)."""

    mask: Tensor

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)  # the shapes tell it

    def forward(self, x: Tensor) -> Tensor:
        """The output (..., n_out) of x (..., n_in)."""
        return linear(x, self.weight * self.mask, self.bias)


class InverseAutoregressive(nn.Module):
    """Each dimension is scaled and shifted by what the ones before it, and x, say.

    One pass of a masked network maps a z that is there; the way back needs J of them,
    one dimension after the other: right for draws of q, whose density is asked nowhere
    else.

    Args:
        dim: J.
        n_context: C.
        width: of the network's hidden layer, at least J for all that masks allow.
        reverse: take the dimensions from last to first.

    Source: Kingma et al. (2016), section 3; Germain et al. (2015) for the masks.
    """

    def __init__(self, dim: int, n_context: int, width: int, *, reverse: bool = False):
        super().__init__()
        place = torch.arange(1, dim + 1)
        place = place.flip(0) if reverse else place  # of each dimension in the order
        # How many dimensions a hidden unit may know: with none it tells of x alone.
        n_known = torch.arange(width) % dim
        self.hidden = MaskedLinear(n_known[:, None] >= place)
        self.context = nn.Linear(n_context, width, bias=False)
        self.last = MaskedLinear(place.repeat(2)[:, None] > n_known)
        zeroed(self.last)

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """out and log_det of z; the context's leading dimensions broadcast."""
        h = torch.tanh(self.hidden(z) + self.context(context))  # (..., width)
        raw, shift = self.last(h).to(z.dtype).chunk(2, dim=-1)
        log_scale = bounded(raw)
        return z * log_scale.exp() + shift, log_scale.sum(-1)
