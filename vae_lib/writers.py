"""The networks of a VAE of strings: to read tokens, to write them, to tell of them.

A decoder is one class and one line in DECODERS; none is asked by name.
Letters: B batch, L places of a row, V tokens, J latent dimensions, n codes.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_lib.distributions import gaussian_log_prob
from vae_lib.tokens import END

Choose = Callable[[Tensor], Tensor]  # tokens (...) of logits (..., V)


class Encoder(nn.Module):
    """From tokens (B, L) to 2 J numbers, mu first: what stands near what, then all."""

    def __init__(self, config: Any):
        super().__init__()
        width = config.hidden_dim
        self.embedding = nn.Embedding(config.n_tokens, config.embedding_dim)
        self.layers = nn.Sequential(
            nn.Conv1d(config.embedding_dim, 64, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(64, 64, 5, padding=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * config.length, width),
            nn.ReLU(),
            nn.Linear(width, 2 * config.latent_dim),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 2 J) from tokens (B, L)."""
        return self.layers(self.embedding(tokens).transpose(1, 2))


class Decoder(nn.Module):
    """What a decoder of strings does: judge tokens that are there, and write others."""

    def forward(self, z: Tensor, tokens: Tensor) -> Tensor:
        """Logits (..., B, L, V) of z (..., B, J), for the places of tokens (B, L)."""
        raise NotImplementedError

    def write(self, z: Tensor, choose: Choose) -> Tensor:
        """Tokens (n, L) of z (n, J), each chosen by its logits."""
        raise NotImplementedError


class ParallelDecoder(Decoder):
    """All places at once: given z they are independent, like the pixels of an image."""

    def __init__(self, config: Any):
        super().__init__()
        width, shape = config.hidden_dim, (config.length, config.n_tokens)
        self.layers = nn.Sequential(
            nn.Linear(config.latent_dim, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, config.length * config.n_tokens),
            nn.Unflatten(-1, shape),
        )

    def forward(self, z: Tensor, tokens: Tensor) -> Tensor:
        """Logits (..., B, L, V) of z (..., B, J); the tokens are not looked at."""
        return self.layers(z)

    def write(self, z: Tensor, choose: Choose) -> Tensor:
        """Tokens (n, L) of z (n, J), each place chosen by its logits alone."""
        return choose(self.layers(z))


class GRUDecoder(Decoder):
    """Token after token: each is told z and, through a state, all tokens before it."""

    def __init__(self, config: Any):
        super().__init__()
        width = config.hidden_dim
        self.length = config.length
        self.embedding = nn.Embedding(config.n_tokens, config.embedding_dim)
        self.start = nn.Linear(config.latent_dim, width)
        n_in = config.embedding_dim + config.latent_dim
        self.gru = nn.GRU(n_in, width, batch_first=True)
        self.out = nn.Linear(width, config.n_tokens)

    def forward(self, z: Tensor, tokens: Tensor) -> Tensor:
        """Logits (..., B, L, V) of z (..., B, J), each place told the tokens before."""
        before = F.pad(tokens[:, :-1], (1, 0), value=END)  # begins where one ends
        lead = z.shape[:-1]
        before = before.expand(*lead, -1).reshape(-1, self.length)
        flat = z.reshape(-1, z.shape[-1])
        logits, _ = self._step(before, flat, torch.tanh(self.start(flat))[None])
        return logits.reshape(*lead, self.length, -1)

    def write(self, z: Tensor, choose: Choose) -> Tensor:
        """Tokens (n, L) of z (n, J), each chosen after those before it."""
        state = torch.tanh(self.start(z))[None]
        last = z.new_full((len(z), 1), END, dtype=torch.int64)
        row = []
        for _ in range(self.length):
            logits, state = self._step(last, z, state)
            last = choose(logits)
            row.append(last)
        return torch.cat(row, dim=1)

    def _step(self, before: Tensor, z: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, l, V) and the state after tokens (n, l), of z (n, J)."""
        codes = z[:, None].expand(-1, before.shape[1], -1)
        seen, state = self.gru(torch.cat((self.embedding(before), codes), -1), state)
        return self.out(seen), state


class WindowDecoder(Decoder):
    """Token after token: each is told z, its place and the last few tokens, no more."""

    def __init__(self, config: Any):
        super().__init__()
        width = config.hidden_dim
        self.length = config.length
        self.window = config.window
        self.embedding = nn.Embedding(config.n_tokens, config.embedding_dim)
        n_in = config.latent_dim + config.length + config.window * config.embedding_dim
        self.layers = nn.Sequential(
            nn.Linear(n_in, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, config.n_tokens),
        )

    def forward(self, z: Tensor, tokens: Tensor) -> Tensor:
        """Logits (..., B, L, V) of z (..., B, J), each place told the tokens before."""
        before = F.pad(tokens[:, :-1], (self.window, 0), value=END)
        seen = before.unfold(1, self.window, 1)  # (B, L, window)
        return self._judge(z, seen, torch.arange(self.length, device=z.device))

    def write(self, z: Tensor, choose: Choose) -> Tensor:
        """Tokens (n, L) of z (n, J), each chosen after the last few before it."""
        row = z.new_full((len(z), self.window), END, dtype=torch.int64)
        for place in range(self.length):
            seen = row[:, None, -self.window :]
            places = torch.tensor([place], device=z.device)
            row = torch.cat((row, choose(self._judge(z, seen, places))), dim=1)
        return row[:, self.window :]

    def _judge(self, z: Tensor, seen: Tensor, places: Tensor) -> Tensor:
        """Logits (..., B, l, V) at l places, of z (..., B, J) and what each sees."""
        known = self.embedding(seen).flatten(2)  # (B, l, window E)
        lead = (*z.shape[:-1], len(places))
        place = F.one_hot(places, self.length).to(z.dtype)
        parts = (z[..., None, :], known, place)
        return self.layers(torch.cat([p.expand(*lead, -1) for p in parts], dim=-1))


DECODERS: dict[str, type[Decoder]] = {
    "gru": GRUDecoder,
    "window": WindowDecoder,
    "parallel": ParallelDecoder,
}


class PropertyHead(nn.Module):
    """p(y|z): properties with normal noise, of a size that is learned, about f(z)."""

    def __init__(self, config: Any):
        super().__init__()
        width, n_out = config.hidden_dim, config.n_properties
        self.mean = nn.Sequential(
            nn.Linear(config.latent_dim, width), nn.ReLU(), nn.Linear(width, n_out)
        )
        self.logvar = nn.Parameter(torch.zeros(n_out))

    def log_prob(self, y: Tensor, z: Tensor) -> Tensor:
        """log p(y|z) in nats, (..., B), of y (B, P) and z (..., B, J)."""
        return gaussian_log_prob(y, self.mean(z), self.logvar)
