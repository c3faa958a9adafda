"""A step of training with its gradient written out: the book's formulas, and no tape.

Every derivative that ``take_step`` asks autograd for is here in matrix form, for VAEs
of linear layers with the prior N(0, I). Letters: B batch, D pixels, J latent
dimensions, K samples, which come first.
"""

import math

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vae_lib.distributed import n_processes
from vae_lib.domains import require
from vae_lib.flat_adam import FlatAdam
from vae_lib.latent import LatentVariableModel
from vae_lib.models import LOGVAR_BOUND, VAE
from vae_lib.networks import ACTIVATIONS, SLOPES
from vae_lib.priors import StandardNormal
from vae_lib.recipes import Recipe


class Layers:
    """Linear layers with an activation between them, and their derivatives.

    Book: eq-layer-gradient.
    """

    def __init__(self, network: nn.Sequential, activation: str):
        self.linear = [layer for layer in network if isinstance(layer, nn.Linear)]
        self.activation, self.slope = ACTIVATIONS[activation](), SLOPES[activation]

    def forward(self, x: Tensor) -> Tensor:
        """The last layer's output (n, m) of x (n, D); all before it are kept."""
        self.inputs, self.outputs = [x], list[Tensor]()
        for layer in self.linear:
            if self.outputs:
                self.inputs.append(self.activation(self.outputs[-1]))
            a = torch.addmm(layer.bias, self.inputs[-1], layer.weight.t())
            self.outputs.append(a)
        return a

    def backward(self, g: Tensor, *, to_input: bool) -> Tensor:
        """Derivatives by every weight, into its grad, and by x (n, D) if asked for.

        g (n, m) is the derivative by the output. Else the first layer's g is returned.
        """
        for number in reversed(range(len(self.linear))):
            layer, h = self.linear[number], self.inputs[number]
            torch.sum(g, 0, out=layer.bias.grad)
            torch.mm(g.t(), h, out=layer.weight.grad)
            if number > 0:
                g = (g @ layer.weight) * self.slope(self.outputs[number - 1], h)
        return g @ self.linear[0].weight if to_input else g


class StepByHand:
    """A step with the arguments and the results of ``take_step``, for one model.

    Raises ValueError if several processes train or autocast is on, or unless the model
    is a VAE of linear layers, all of them trained, with the prior "standard", the
    posterior "gaussian" and nothing learned in its likelihood.
    """

    def __init__(
        self, model: LatentVariableModel, optimizer: Optimizer, recipe: Recipe
    ):
        require(n_processes() == 1, "one process for step='by hand'", n_processes())
        expected = "a VAE of linear layers with the prior 'standard' for step='by hand'"
        if type(model) is not VAE:
            raise ValueError(f"expected {expected}, got {type(model).__name__}")
        known = nn.Linear | ACTIVATIONS[model.config.activation]
        for part in (*model.encoder, *model.decoder, model.prior):
            fits = isinstance(part, known | StandardNormal)
            require(fits, expected, type(part).__name__)
        gaussian = "the posterior 'gaussian' for step='by hand'"
        require(model.q_is_gaussian, gaussian, model.config.posterior)
        layers = "weights of linear layers for step='by hand', all of them trained"
        for name, weight in model.named_parameters():
            fits = weight.requires_grad and not name.startswith("likelihood.")
            require(fits, layers, name)
        short = torch.is_autocast_enabled(model.input_mean.device.type)
        require(not short, "no autocast around step='by hand'", "autocast")
        self.encoder = Layers(model.encoder, model.config.activation)
        self.decoder = Layers(model.decoder, model.config.activation)
        self.path, self.adam = recipe.gradient == "path", FlatAdam(optimizer)

    @torch.no_grad()
    def __call__(
        self, model, optimizer, x, eps, y=None, *, clip_norm=None, **options
    ) -> Tensor:
        """One step of the optimizer; options are the others of ``take_step``."""
        sums = self.fill_gradients(model, x, eps, **options)
        self.adam.step(clip_norm)
        return sums

    def fill_gradients(
        self,
        model: VAE,
        x: Tensor,
        eps: Tensor,
        *,
        n_images: float,
        beta: float = 1.0,
        objective: str = "elbo",
        free_bits: float = 0.0,
    ) -> Tensor:
        """Set every weight's grad to the loss's derivative; sums as of ``take_step``.

        Book: eq-output-gradient, eq-code-gradient, eq-weighted-gradient.
        """
        eps = eps.view(-1, len(x), eps.shape[-1])  # (K, B, J)
        mu, raw_logvar = self.encoder.forward(x - model.input_mean).chunk(2, dim=-1)
        bend = torch.tanh(raw_logvar / LOGVAR_BOUND)
        logvar = LOGVAR_BOUND * bend
        std = (logvar / 2).exp()
        z = mu + std * eps  # (K, B, J)
        x_params = self.decoder.forward(z.flatten(0, 1)).view(*z.shape[:-1], -1)
        log_p_x_given_z = model.likelihood.log_prob(x, x_params)  # (K, B)
        each = (mu.square() + std.square() - 1 - logvar) / 2  # (B, J), terms of the KL
        charged = kl = each.sum(-1)
        paid: Tensor | float = 1.0  # how much of each dimension's KL has a price
        if free_bits > 0:
            paid = (each.mean(0) > free_bits).to(each)
            charged = torch.where(paid > 0, each, free_bits).sum(-1)
        share: Tensor | float = 1 / len(z)
        if objective == "iwae":
            log_w = log_p_x_given_z - (z.square() - eps.square() - logvar).sum(-1) / 2
            bound = log_w.logsumexp(0) - math.log(len(z))
            share = log_w.softmax(0)[..., None]  # (K, B, 1)
        else:
            bound = log_p_x_given_z.mean(0) - beta * charged
        by_log_w = -share / n_images  # derivatives of the loss
        g = model.likelihood.slope(x, x_params).mul_(by_log_w)  # (K, B, D)
        g = self.decoder.backward(g.flatten(0, 1), to_input=True).view_as(z)
        g_mu, g_logvar = torch.zeros_like(mu), torch.zeros_like(mu)
        if self.path:
            g = g + beta * by_log_w * (eps / std - z)
            g *= share if objective == "iwae" else 1
        elif objective == "iwae":
            g = g - by_log_w * z
            g_logvar -= 0.5 / n_images
        else:
            g_mu += beta / n_images * paid * mu
            g_logvar += beta / n_images * paid * (std.square() - 1) / 2
        g_mu += g.sum(0)  # through z = mu + std * eps
        g_logvar += (g * eps).sum(0) * std / 2
        g = torch.cat((g_mu, g_logvar * (1 - bend.square())), -1)
        self.encoder.backward(g, to_input=False)
        return torch.stack((log_p_x_given_z.mean(0), kl, bound)).sum(1)
