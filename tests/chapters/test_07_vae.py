"""The numbers of chapter 7; its statements are laws of models and training."""

import math
import re

import nbformat
import prose
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tools.book import BOOK, notebooks_of
from vae_lib.checkpoints import load_pretrained
from vae_lib.data import load_mnist
from vae_lib.distributions import bernoulli_log_prob
from vae_lib.models import VAE, VAEConfig
from vae_lib.records import load_record

says = prose.says("07-vae")


@pytest.mark.book
def test_numbers_in_the_text_are_right():
    edge = torch.tensor(says("for logits above about #"))
    assert torch.sigmoid(edge) == 1 > torch.sigmoid(edge - 1)
    says("$\\log(1-\\pi) \\approx #$", torch.log(torch.sigmoid(-edge)))
    says("a standard deviation of about #", math.sqrt(784 / 2))
    rho = says("which for $\\rho = #$ is")
    says("for $\\rho = 5$ is #", math.exp(-(rho**2) / 2))
    assert 1 - math.pi * rho**2 / 20**2 == pytest.approx(4 / 5, abs=0.01)  # the square
    assert torch.exp(torch.tensor(says("ask for $\\log\\sigma^2 = #$"))).isinf()
    pi = says("decoder says $\\pi = #$?")
    grey = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    density = pi**grey * (1 - pi) ** (1 - grey)
    says("$ any more, but $#$", (grey * density).sum() / density.sum())
    says("asks for $J\\log 2 = #$ nats", 2 * math.log(2))


@pytest.mark.equation("eq-minibatch")
def test_the_loss_is_lowest_at_the_noise_that_the_encoder_asks_for():
    """Each halving costs J log 2 nats of KL; all of them gain about one of fit."""
    model, x = load_pretrained("mnist-2d"), load_mnist("test").images[1000:1200]
    eps = torch.randn(20, len(x), 2)
    with torch.no_grad():
        mu, logvar = model.encode(x)
    std, fit, kl = (0.5 * logvar).exp(), {}, {}
    for factor in (1 / 16, 1 / 8, 0.5, 1.0, 2.0):
        pi = model.mean_image(mu + factor * std * eps).clamp(1e-7, 1 - 1e-7)
        fit[factor] = -(x * pi.log() + (1 - x) * (1 - pi).log()).sum(-1).mean()
        prices = kl_divergence(Normal(mu, factor * std), Normal(0.0, 1.0))
        kl[factor] = prices.sum(1).mean()
    assert min(fit, key=lambda factor: fit[factor] + kl[factor]) == 1.0
    assert abs(kl[1 / 16] - kl[1 / 8] - 2 * math.log(2)) < 1e-3
    assert 0.5 < fit[1.0] - fit[1 / 16] < 1.5 < fit[2.0] - fit[1.0]


@pytest.mark.book
def test_measured_numbers_in_the_text_are_those_of_the_notebook():
    path, *_ = notebooks_of("07-vae")
    shown = ""
    for cell in nbformat.read(path, 4).cells:
        for output in cell.get("outputs", []):
            shown += output.get("text", "")
            shown += output.get("data", {}).get("text/plain", "") + "\n"

    def found(words: str) -> float:
        return float(re.search(re.escape(words) + r" *(-?[\d.]+)", shown)[1])

    terms = [found("ELBO:"), found("log-likelihood term:"), found("KL divergence:")]
    elbo, log_p, kl = says("ELBO is then $# = # - #$ nats")
    assert [elbo, log_p, kl] == terms
    assert math.isclose(elbo, log_p - kl, abs_tol=0.11)  # three rounded numbers
    says("without any code, reach $#$", found("pixel frequencies alone:"))
    twenty = says("reaches $#$ nats after two", found("20 dimensions, 2 epochs"))
    says("nats after two epochs, # better", twenty - elbo)
    says("The first part, $#$ nats", found("about the image:"))
    says("The second part, $#$ nats", found("cloud from prior:"))
    assert 73 <= found("of the same kind:") <= 77  # "three times out of four"


def test_the_five_lines_compute_the_loss_of_the_library():
    page = (BOOK / "07-vae.md").read_text("utf-8")
    lines = re.search(r"^```python\n(mu, logvar.*?)^```", page, re.M | re.S)[1]
    model, x = (
        VAE(VAEConfig(latent_dim=3, hidden_dims=(8,), n_pixels=5)),
        torch.rand(4, 5),
    )
    names = {"torch": torch, "bernoulli_log_prob": bernoulli_log_prob}
    names |= {"model": model, "x": x}
    torch.manual_seed(1)
    exec(lines, names)
    torch.manual_seed(1)
    out = model(x)
    torch.testing.assert_close(names["loss"], (out.kl - out.log_p_x_given_z).mean())


@pytest.mark.book
def test_what_the_page_says_of_the_animals_plane_is_in_the_record():
    rows = load_record("animals")["plane"]

    def percent(run: str, key: str) -> torch.Tensor:
        return 100 * torch.tensor([row[key][0] for row in rows if row["run"] == run])

    animals, digits = (percent(run, "same_kind") for run in ("animals", "digits"))
    words = "kind for # to # % of 2,000 test animals, against # to # %"
    says(words, *animals.aminmax(), *digits.aminmax())
    pixels = [percent(run, "pixels_same_kind")[0] for run in ("animals", "digits")]
    says("pixels themselves it is # % and # %", *pixels)
    assert animals.max() < digits.min() - 5
