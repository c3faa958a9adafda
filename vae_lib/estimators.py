"""Quieter gradients of the same bounds, by a model around the model.

What ``take_step`` asks of a model it asks of this one, and stays the step of the book.
"""

from torch import Tensor, nn

from vae_lib.domains import require
from vae_lib.latent import VAEOutput
from vae_lib.objectives import doubly_reparameterized, without_score
from vae_lib.steps import take_step


class AlongThePath(nn.Module):
    """A model whose terms have their values, and gradients that leave out q's score.

    The importance weights are those of ``doubly_reparameterized``. The KL divergence
    keeps its value, exact where the prior has it so, and has the gradient of its
    estimate by ``without_score``, by which the noise of both terms of the ELBO cancels
    where q is the posterior. Raises ValueError if q is the end of a flow, whose score
    is another one.

    Book: eq-path-gradient, eq-doubly-reparameterized.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        gaussian = getattr(model, "q_is_gaussian", True)  # one in a wrapper was checked
        require(gaussian, "a Gaussian q(z|x) for the gradient along the path", "a flow")

    def forward(
        self, x: Tensor, y: Tensor | None = None, *, eps: Tensor, weights: bool = False
    ) -> VAEOutput:
        """The model's output for x (B, D) and the noise eps ((K,) B, J)."""
        output = self.model(x, y, eps=eps, weights=True)
        given = output.log_w, output.z, output.mu, output.logvar
        if weights:
            return output._replace(log_w=doubly_reparameterized(*given))
        estimate = output.log_p_x_given_z - without_score(*given)  # ((K,) B)
        estimate = estimate.view(-1, len(x)).mean(0)  # (B,), of the KL
        return output._replace(kl=output.kl.detach() + estimate - estimate.detach())


def take_path_step(model: nn.Module, *given, **options) -> Tensor:
    """``take_step`` with the quieter gradient: its arguments, its results.

    Book: eq-path-gradient, eq-doubly-reparameterized.
    """
    return take_step(AlongThePath(model), *given, **options)
