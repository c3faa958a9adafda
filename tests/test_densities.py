"""What the study of fitted densities measures, on cases whose answer is known."""

import torch

from tools.records import densities
from vae_lib.autoencoder import AutoEncoder
from vae_lib.models import VAE, VAEConfig

NEAR = {"rtol": 0, "atol": 0.05}
CONFIG = VAEConfig(latent_dim=2, hidden_dims=(4,), n_pixels=6)


def test_the_share_is_that_of_the_commonest_among_the_ten_nearest():
    known = torch.arange(20.0)[:, None].expand(20, 6)
    kinds = torch.tensor([0] * 10 + [1] * 10)
    images = torch.tensor([0.0, 19.0, 9.4])[:, None].expand(3, 6)
    shares = densities.share_of_one_kind(images, known, kinds)
    torch.testing.assert_close(shares, torch.tensor([1.0, 1.0, 0.5]))


def test_a_gap_is_farther_from_all_codes_than_held_out_codes_are():
    codes, held_out = torch.zeros(1, 2), torch.rand(1000, 2) / 2
    draws = torch.tensor([[0.0, 0.0], [0.1, 0.1], [3.0, 0.0], [0.0, -9.0]])
    far = densities.is_in_a_gap(draws, codes, held_out)
    assert far.tolist() == [False, False, True, True]


def test_denoiser_scores_the_clean_image_at_a_code_of_a_noisy_one():
    x = torch.rand(7, 6)
    model = densities.Denoiser(CONFIG)
    plain = AutoEncoder(model.config)
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(x).log_p_x_given_z, plain(x).log_p_x_given_z)
    model.noise_level, state = 0.5, torch.get_rng_state()
    found = model(x)
    torch.set_rng_state(state)
    mu = plain.encode(x + 0.5 * torch.randn(7, 6))[0]
    torch.testing.assert_close(found.mu, mu)
    torch.testing.assert_close(
        found.log_p_x_given_z, plain.log_p_x_given_z(x, plain.decode(mu))
    )
    assert not found.kl.any()


def test_a_shifted_image_is_one_of_nine_and_its_edges_are_paper():
    x = torch.rand(200, 16)
    found = densities.shifted(x).view(200, 4, 4)
    page = torch.nn.functional.pad(x.view(200, 4, 4), (1, 1, 1, 1))
    places = [(down, right) for down in range(3) for right in range(3)]
    nine = [page[:, down : down + 4, right : right + 4] for down, right in places]
    same = torch.stack([(part == found).all(2).all(1) for part in nine])
    assert (same.sum(0) == 1).all() and same.any(1).all()


def test_a_model_of_shifted_images_scores_what_it_has_encoded():
    x, eps = torch.rand(7, 9), torch.randn(7, 2)
    config = VAEConfig(latent_dim=2, hidden_dims=(4,), n_pixels=9)
    for name, kind in densities.KINDS.items():
        model, plain = densities.SHIFTED[name](config), kind(config)
        plain.load_state_dict(model.state_dict())
        state = torch.get_rng_state()
        found = model(x, eps=eps)
        torch.set_rng_state(state)
        expected = plain(densities.shifted(x), eps=eps)
        torch.testing.assert_close(found.log_p_x_given_z, expected.log_p_x_given_z)
        torch.testing.assert_close(found.kl, expected.kl)
        assert model.draws_z == plain.draws_z


def test_other_sets_of_digits_are_not_the_first_and_are_judged_like_them(monkeypatch):
    """Of twenty digits and 10,000 that are held out; nothing is trained."""
    digits, calls = torch.arange(10_020.0)[:, None].expand(-1, 6), []

    def judged(name, kind, parts, seed, n_steps, noise_level=0.0):
        found = {part: x[[0, -1], 0].tolist() for part, x in parts.items()}
        calls.append((name, seed, n_steps, noise_level))
        return {"run": name, "held out": n_steps, "seen": found}

    data = type("Digits", (), {"images": digits})
    monkeypatch.setattr(densities, "load_mnist", lambda part: data)
    monkeypatch.setattr(densities, "judged", judged)
    monkeypatch.setattr(densities, "FEW", (3, 5))
    first = [row for row in densities.few_digits() if row["seen"]["learned"][1] == 2]
    of_the_first = [call for call in calls if call[1] == 0]
    calls.clear()
    monkeypatch.setattr(densities, "OTHER_SETS", (3, 6))
    rows = densities.other_digits()
    assert {(row["first"], *row["seen"]["learned"]) for row in rows} == {
        (3, 3, 5),
        (6, 6, 8),
    }
    assert {row["run"] for row in rows} == {row["run"] for row in first}
    assert set(calls) == set(of_the_first) and {call[1] for call in calls} == {0}
    held_out = [row["seen"]["held out"] for row in rows if "held out" in row["seen"]]
    assert held_out and all(ends == [20, 10_019] for ends in held_out)


def test_other_sets_and_other_steps_are_those_that_the_book_names(monkeypatch):
    """Of 20,000 digits, of which each knows its place; nothing is trained."""
    digits = torch.arange(20_000.0)[:, None].expand(-1, 6)

    def judged(name, kind, parts, seed, n_steps, noise_level=0.0):
        learned = parts["learned"][:, 0]
        assert kind.__name__.startswith("Shifted") == ("shifted" in name)
        return {"run": name, "seed": seed, "steps": n_steps, "n": len(learned)} | {
            "seen": learned[0].item()
        }

    data = type("Digits", (), {"images": digits})
    monkeypatch.setattr(densities, "load_mnist", lambda part: data)
    monkeypatch.setattr(densities, "judged", judged)
    thousands, steps = densities.other_thousands(), densities.other_steps()
    assert all(row["seen"] == row["first"] for row in thousands + steps)
    assert {(row["first"], row["n"], row["steps"]) for row in thousands} == {
        (first, 2000, 784) for first in (2000, 4000, 6000)
    }
    assert len(thousands) == 12 and {row["seed"] for row in thousands} == {0}
    shifted = {f"{name}, shifted" for name in densities.KINDS}
    assert {row["run"] for row in thousands} == {*densities.KINDS, *shifted}
    assert {row["run"] for row in steps} == shifted and len(steps) == 18
    pairs = {(row["n"], row["steps"], row["first"], row["seed"]) for row in steps}
    assert pairs == {
        *((500, 392, 0, seed) for seed in range(3)),
        *((500, 392, first, 0) for first in (500, 1000, 1500)),
        *((2000, 4704, 0, seed) for seed in range(3)),
    }


def test_a_mixture_has_the_places_and_weights_of_its_codes():
    codes = torch.cat([torch.randn(3000, 2) / 9 + 5, torch.randn(1000, 2) / 9 - 5])
    draws = densities.mixture(codes, 2, seed=0)
    right = draws[:, 0] > 0
    assert abs(right.float().mean() - 0.75) < 0.05
    torch.testing.assert_close(draws[right].mean(0), torch.full((2,), 5.0), **NEAR)
    torch.testing.assert_close(draws[~right].mean(0), torch.full((2,), -5.0), **NEAR)


def test_only_a_model_that_draws_has_codes_that_differ_from_their_means():
    x = torch.rand(5, 6)
    for kind in (VAE, AutoEncoder):
        model = kind(CONFIG).requires_grad_(False)
        codes = densities.drawn_codes(model, x)
        assert torch.equal(codes, model.encode(x)[0]) != model.draws_z
