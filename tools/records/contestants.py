"""The ways through an epoch that benchmark.py compares, on one device."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch.utils.data import DataLoader, TensorDataset

from vae_lib.models import VAE, VAEConfig
from vae_lib.objectives import elbo
from vae_lib.training import set_seed, train

TASK = {"images": 60_000, "latent_dim": 20, "width": 400, "batch_size": 128}


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Matrix products in this precision: "highest", or "medium" by shorter numbers."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Ours:
    """vae_lib's train on a task; each call is one more epoch of the same model."""

    def __init__(
        self,
        images: torch.Tensor,
        task: dict,
        products="highest",
        device="cpu",
        **options,
    ):
        set_seed(0)
        self.products = products
        config = VAEConfig(task["latent_dim"], hidden_dims=(task["width"],))
        self.model, self.images = VAE(config), images[: task["images"]]
        options |= {"batch_size": task["batch_size"], "device": device}
        self.train = partial(train, epochs=1, progress=False, **options)

    def __call__(self) -> float:
        with precision(self.products):
            return self.train(self.model, self.images).rows[-1]["elbo"]


class PlainLoop:
    """A plain loop: DataLoader, default Adam, `.item()` at every step."""

    def __init__(self, images: torch.Tensor, task: dict[str, int], device="cpu"):
        set_seed(0)
        config = VAEConfig(task["latent_dim"], hidden_dims=(task["width"],))
        self.device, self.model = device, VAE(config).to(device)
        self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        data = TensorDataset(images[: task["images"]])
        self.loader = DataLoader(data, task["batch_size"], shuffle=True)

    def __call__(self) -> float:
        total = 0.0
        for (images,) in self.loader:
            x = images.to(self.device)
            output = self.model(x)
            loss = -elbo(output.log_p_x_given_z, output.kl).mean()
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
            total -= loss.item() * len(x)
        return total / len(self.loader.dataset)


@precision("highest")
def products(task: dict[str, int], device="cpu") -> None:
    """Forward, weight-gradient and input-gradient products of every layer, no more."""
    n, width, latent_dim = task["batch_size"], task["width"], task["latent_dim"]
    layers = [(784, width), (width, 2 * latent_dim), (latent_dim, width), (width, 784)]
    work = []
    for n_in, n_out in layers:
        shapes = ((n, n_in), (n, n_out), (n_in, n_out))
        x, g, w = (torch.randn(*shape, device=device) for shape in shapes)
        work.append((x, w, x.new_empty(n, n_out)))  # y = x w
        work.append((x.T, g, x.new_empty(n_in, n_out)))  # dw = x' g
        if n_in != 784:  # no gradient with respect to the image
            work.append((g, w.T, x.new_empty(n, n_in)))  # dx = g w'
    for _ in range(task["images"] // n):
        for a, b, out in work:
            torch.mm(a, b, out=out)
    out.sum().item()  # waits for a GPU, which works through what it was given
