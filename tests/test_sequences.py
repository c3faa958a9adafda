"""A VAE of strings: its probabilities are some, and what it writes has them."""

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical

from vae_lib.checkpoints import load, save
from vae_lib.configs import SequenceConfig
from vae_lib.evaluation import active_units, evaluate_elbo, log_likelihood
from vae_lib.objectives import importance_weighted_bound, kl_beyond
from vae_lib.sequences import SequenceVAE
from vae_lib.tokens import END, categorical_log_prob, check_tokens
from vae_lib.training import train
from vae_lib.writers import DECODERS

pytestmark = pytest.mark.usefixtures("double_precision")
V, L, J = 3, 4, 2
SMALL = dict(latent_dim=J, hidden_dim=8, embedding_dim=4, n_tokens=V, length=L)


@pytest.fixture(params=DECODERS)
def model(request) -> SequenceVAE:
    """A small one whose decoder is far from equal probabilities."""
    model = SequenceVAE(SequenceConfig(**SMALL, decoder=request.param))
    for weight in model.decoder.parameters():
        weight.data.mul_(3)
    return model


def rows(ended: bool) -> torch.Tensor:
    """Every string that ends within L places, or every row that does not."""
    if not ended:
        return torch.tensor(list(itertools.product(range(1, V), repeat=L)))
    found = []
    for length in range(L):
        strings = itertools.product(range(1, V), repeat=length)
        found += [[*string, *[END] * (L - length)] for string in strings]
    return torch.tensor(found)


def test_the_probabilities_of_all_strings_add_up_to_one(model):
    """Those that end, and what is written by the last place of those that do not."""
    everything = torch.cat([rows(True), rows(False)])
    z = torch.randn(5, 1, J).expand(-1, len(everything), -1)
    total = categorical_log_prob(everything, model.decode(z, everything)).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(5))


def test_what_is_written_has_its_probability(model):
    strings, n = rows(True), 20_000
    z = torch.randn(1, J)
    log_p = categorical_log_prob(
        strings, model.decode(z.expand(len(strings), -1), strings)
    )
    written = model.write(z.expand(n, -1))
    for string, p in zip(strings, log_p.exp().tolist(), strict=True):
        share = (written == string).all(1).double().mean().item()
        assert abs(share - p) <= 5 * math.sqrt(p * (1 - p) / n) + 1e-12, string


def test_greedy_takes_the_likeliest_token_at_each_place(model):
    z = torch.randn(6, J)
    written = model.write(z, greedy=True)
    best = model.decode(z, written).argmax(-1)
    before = (written == END).cumsum(1) - (written == END).long() == 0
    assert torch.equal(written[before], best[before])


def test_writing_asks_for_the_logits_that_judging_asks_for(model):
    """Place by place, given the tokens that were written before."""
    z, asked = torch.randn(6, J), []

    def choose(logits):
        asked.append(logits)
        return logits.argmax(-1)

    tokens = model.decoder.write(z, choose)
    torch.testing.assert_close(torch.cat(asked, dim=1), model.decode(z, tokens))


def test_it_is_the_sum_of_torchs_log_probabilities_up_to_the_end():
    tokens = torch.tensor([[2, 1, END, END], [END, END, END, END], [1, 1, 2, END]])
    logits = torch.randn(7, 3, L, V)
    each = Categorical(logits=logits).log_prob(tokens)
    expected = torch.stack(
        [each[:, 0, :3].sum(-1), each[:, 1, 0], each[:, 2].sum(-1)], -1
    )
    torch.testing.assert_close(categorical_log_prob(tokens, logits), expected)


def test_what_stands_behind_the_end_has_no_gradient():
    tokens = torch.tensor([[1, END, END, END]])
    logits = torch.randn(1, L, V, requires_grad=True)
    (slope,) = torch.autograd.grad(categorical_log_prob(tokens, logits).sum(), logits)
    one_hot = torch.nn.functional.one_hot(tokens, V)
    torch.testing.assert_close(slope[:, :2], (one_hot - logits.softmax(-1))[:, :2])
    assert (slope[:, 2:] == 0).all()


def test_a_place_is_told_the_tokens_before_it_and_no_other():
    model = SequenceVAE(SequenceConfig(**SMALL, decoder="gru"))
    x, z = torch.tensor([[1, 2, 1, END]]), torch.randn(1, J)
    for place in range(L):
        other = x.clone()
        other[0, place] = (x[0, place] + 1) % V
        moved = (model.decode(z, other) != model.decode(z, x)).any(-1)[0]
        assert not moved[: place + 1].any() and moved[place + 1 :].all()


def test_importance_weights_estimate_the_evidence(model):
    """log p(x) by averaging p(x|z) over many draws of the prior."""
    x = rows(True)[:6]
    z = torch.randn(50_000, 1, J).expand(-1, len(x), -1)
    with torch.no_grad():
        log_p = categorical_log_prob(x, model.decode(z, x))
        expected = log_p.logsumexp(0) - math.log(len(z))
        log_w = model(x, n_samples=5_000, weights=True).log_w
    found = importance_weighted_bound(log_w)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.1)


def test_the_terms_are_those_of_a_vae(model):
    x = rows(True)[:6]
    output = model(x, eps=torch.zeros(6, J))
    mu, logvar = model.encode(x)
    assert torch.equal(output.z, mu) and output.x_params.shape == (6, L, V)
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    torch.testing.assert_close(output.kl, kl)
    assert model(x, n_samples=3).log_p_x_given_z.shape == (3, 6)


def test_each_weight_learns(model):
    output = model(rows(True))
    (output.log_p_x_given_z - output.kl).sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_a_window_is_all_that_its_decoder_knows():
    model = SequenceVAE(SequenceConfig(**SMALL, decoder="window", window=2))
    x, z = torch.tensor([[1, 2, 1, END]]), torch.randn(1, J)
    for place in range(L):
        other = x.clone()
        other[0, place] = (x[0, place] + 1) % V
        moved = (model.decode(z, other) != model.decode(z, x)).any(-1)[0]
        knows = [place < later <= place + 2 for later in range(L)]
        assert moved.tolist() == knows


def with_head(n_properties: int = 2) -> SequenceVAE:
    return SequenceVAE(SequenceConfig(**SMALL, n_properties=n_properties))


def test_properties_are_scored_beside_the_string():
    model, x, y = with_head(), rows(True), torch.randn(len(rows(True)), 2)
    model.head.logvar.data = torch.tensor([0.3, -0.4])
    eps = torch.randn(5, len(x), J)
    alone, pair = model(x, eps=eps, weights=True), model(x, y, eps=eps, weights=True)
    normal = torch.distributions.Normal(
        model.head.mean(pair.z), (model.head.logvar / 2).exp()
    )
    worth = normal.log_prob(y).sum(-1)
    assert worth.shape == (5, len(x))
    torch.testing.assert_close(pair.log_p_x_given_z, alone.log_p_x_given_z + worth)
    torch.testing.assert_close(pair.log_w, alone.log_w + worth)
    assert torch.equal(pair.kl, alone.kl) and torch.equal(pair.mu, alone.mu)


def test_the_noise_of_a_property_is_learned():
    """Where the string tells nothing of it, as much as the property varies."""
    model, x = with_head(1), rows(True)[3:4].repeat(400, 1)
    y = 0.5 * torch.randn(400, 1)
    recipe = dict(epochs=40, batch_size=100, lr=0.02, device="cpu", progress=False)
    train(model, x, labels=y, **recipe)
    assert (model.head.logvar / 2).exp().item() == pytest.approx(0.5, rel=0.15)


@pytest.mark.equation("eq-free-bits")
def test_free_bits_are_the_greater_of_the_two_in_each_dimension():
    mu, logvar = torch.randn(6, 3), torch.randn(6, 3)
    each = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)
    limit = each.mean(0).median()  # one dimension above, one below, one at it
    found = kl_beyond(mu, logvar, limit.item())
    assert found.shape == (6,)
    torch.testing.assert_close(found.mean(), each.mean(0).clamp(min=limit).sum())
    torch.testing.assert_close(kl_beyond(mu, logvar, 0.0), each.sum(1))
    mu.requires_grad_()
    (slope,) = torch.autograd.grad(kl_beyond(mu, logvar, limit.item()).sum(), mu)
    moved = each.mean(0) > limit.item()
    assert (slope[:, ~moved] == 0).all() and torch.equal(slope[:, moved], mu[:, moved])


def test_with_enough_free_bits_a_step_has_no_kl():
    """All bits free or no weight of the KL: the same weights after an epoch."""
    x, weights = rows(True), {}
    options = dict(epochs=1, batch_size=5, lr=0.01, device="cpu", progress=False)
    for name, changes in {
        "free": {"free_bits": 1e3},
        "no": {"beta": 0.0},
        "": {},
    }.items():
        torch.manual_seed(0)
        model = SequenceVAE(SequenceConfig(**SMALL))
        train(model, x, **options, **changes)
        weights[name] = torch.cat([w.detach().flatten() for w in model.parameters()])
    torch.testing.assert_close(weights["free"], weights["no"])
    assert (weights["free"] - weights[""]).abs().max() > 1e-4


def test_the_loop_trains_strings_and_saves_them(model, tmp_path):
    """Losing no token on the way: the bound of the history is the model's."""
    x = rows(True)
    recipe = dict(epochs=3, batch_size=5, device="cpu", progress=False)
    history = train(model, x, **recipe, validation=x, free_bits=0.1)
    assert [row["epoch"] for row in history.rows] == [1, 2, 3]
    save(tmp_path / "strings.safetensors", model)
    again = load(tmp_path / "strings.safetensors")
    assert type(again) is SequenceVAE and again.config == model.config
    assert evaluate_elbo(again, x) == evaluate_elbo(model, x)
    assert history.rows[-1]["valid_elbo"] == evaluate_elbo(model, x).elbo
    assert active_units(model, x, threshold=0.0) == J


def test_the_estimate_of_all_strings_adds_up_to_what_ends(model):
    """Of every string that ends, against the share of the samples that do."""
    total = log_likelihood(model, rows(True), n_samples=4_000).exp().sum().item()
    written = model.sample(20_000)
    share = (written == END).any(1).double().mean().item()
    assert total == pytest.approx(share, abs=0.02)


def test_it_learns_to_write_what_it_was_shown():
    """Two strings, half of the data each: close to the best there is, ln 2 each."""
    model = SequenceVAE(SequenceConfig(**SMALL))
    x = torch.tensor([[1, 2, END, END], [2, 2, 2, END]]).repeat(8, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(150):
        output = model(x)
        loss = (output.kl - output.log_p_x_given_z).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(math.log(2), abs=0.05)
    written = model.sample(500)
    seen = [(written == string).all(1).double().mean().item() for string in x[:2]]
    assert sum(seen) > 0.9 and min(seen) > 0.35


ODD = {
    "floats": torch.zeros(2, L),
    "another length": torch.zeros(2, L + 1).long(),
    "none": torch.zeros(0, L).long(),
    "a row": torch.zeros(L).long(),
    "an unknown token": torch.tensor([[V, END, END, END]]),
    "a negative one": torch.tensor([[-1, END, END, END]]),
    "no end": torch.ones(1, L).long(),
    "more behind the end": torch.tensor([[1, END, 1, END]]),
    "a list": [[1, 0, 0, 0]],
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_row_of_tokens_is_refused_in_one_line(kind, refuses):
    with refuses(ValueError, "expected", "got"):
        check_tokens(ODD[kind], L, V)


@pytest.mark.parametrize(
    "change", [{"n_tokens": 1}, {"length": 0}, {"decoder": "lstm"}, {"hidden_dim": 1.5}]
)
def test_a_configuration_that_cannot_be_is_refused(change, refuses):
    with refuses(ValueError, "expected", "got"):
        SequenceConfig(**SMALL | change)
