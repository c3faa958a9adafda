"""The numbers of chapter 7; its statements are laws of models and training."""

import math

import prose
import pytest
import torch

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
