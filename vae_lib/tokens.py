"""Rows of tokens: strings that end, and their log probability.

Letters: B batch, L places of a row, V tokens. Token 0 ends a string and fills its row.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_lib.domains import check_floats, require

END = 0


def check_tokens(tokens: Tensor, length: int, n_tokens: int) -> None:
    """Raise ValueError unless tokens (N, L) are rows of strings that end.

    Behind the first end token a row holds nothing else.
    """
    expected = f"tokens (N, {length}), int64 from 0 to {n_tokens - 1}, N >= 1"
    sort = isinstance(tokens, Tensor) and tokens.dtype == torch.int64
    sort = sort and not tokens.is_meta and tokens.layout == torch.strided
    fits = sort and tokens.dim() == 2 and tokens.shape[1] == length and len(tokens) > 0
    require(fits, expected, tokens)
    low, high = (int(place) for place in tokens.aminmax())
    require(low >= 0 and high < n_tokens, expected, (low, high))
    ended = (tokens == END).cumsum(1) > 0
    require(bool(ended[:, -1].all()), "strings that end", "one without an end token")
    empty = bool((tokens[ended] == END).all())
    require(empty, "nothing but end tokens behind the first", "other tokens")


def categorical_log_prob(tokens: Tensor, x_logits: Tensor) -> Tensor:
    """Log probability of strings of tokens, one value per string.

    Args:
        tokens: (B, L) int64; what stands behind the first end token is not counted. The
            end token is: with it the probabilities of all strings add up to one.
        x_logits: of each place's distribution up to a constant, shape (..., B, L, V).

    Returns:
        log p(x) in nats, shape (..., B): summed over the places.

    Raises ValueError unless the shapes fit and the logits are floats.
    Book: eq-token-likelihood, eq-strings-sum.
    """
    check_floats("x_logits (..., B, L, V)", x_logits)
    fits = isinstance(tokens, Tensor) and tokens.dtype == torch.int64
    fits = fits and tokens.dim() == 2 and x_logits.shape[-3:-1] == tokens.shape
    require(fits, f"tokens (B, L) for logits {tuple(x_logits.shape)}", tokens)
    log_p = -F.cross_entropy(  # (..., B, L)
        x_logits.reshape(-1, x_logits.shape[-1]),
        tokens.expand(x_logits.shape[:-1]).reshape(-1),
        reduction="none",
    ).reshape(x_logits.shape[:-1])
    is_end = tokens == END
    counted = is_end.cumsum(-1) - is_end.long() == 0  # no end token before it
    return torch.where(counted, log_p, 0).sum(-1)
