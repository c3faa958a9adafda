"""The compiled step against the step that the book shows, and what it refuses."""

import sys
from functools import partial
from inspect import signature

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from vae_lib.compiled import compile_step
from vae_lib.models import VAE
from vae_lib.training import set_seed, train

RECIPES = {
    "free bits": {"free_bits": 0.5},
    "beta": {"beta": 0.5, "clip_norm": 0.1, "schedule": "cosine"},
    "gentle": {"clip_norm": 1e6, "lr": 0.1},
    "iwae": {"objective": "iwae", "n_samples": 3, "schedule": "cosine"},
}
REAL = {name: RECIPES[name] for name in ("beta", "iwae")}  # compiled in earnest


def trained(model: VAE, images: Tensor, *epochs: int, **recipe) -> VAE:
    """After these calls of train; seven images in batches of 3, 3 and 1."""
    set_seed(5)
    recipe = {"batch_size": 3, "lr": 1e-2, "device": "cpu", "progress": False} | recipe
    compiled = recipe.pop("compile", ())
    for number, n in enumerate(epochs):
        train(
            model,
            images,
            epochs=n,
            step="compiled" if number in compiled else "autograd",
            **recipe,
        )
    return model


def assert_same(model: VAE, expected: VAE) -> None:
    """Weights, Adam's state and the history's rows agree to nine digits."""
    close = partial(assert_close, rtol=1e-9, atol=1e-9)
    states = (m.history.optimizer.state for m in (model, expected))
    mine, other = ([state[w] for w in state] for state in states)
    for weight, known in zip(model.parameters(), expected.parameters(), strict=True):
        close(weight, known)
    for state, known in zip(mine, other, strict=True):
        assert state.keys() == known.keys() == {"step", "exp_avg", "exp_avg_sq"}
        for key in known:
            close(state[key], known[key])
    for row, known in zip(model.history.rows, expected.history.rows, strict=True):
        for key in ("epoch", "elbo", "log_p_x_given_z", "kl"):
            assert row[key] == pytest.approx(known[key], rel=1e-9)


@pytest.fixture
def compiler() -> None:
    """A C++ compiler of this machine, for what is compiled in earnest."""
    try:
        compile_step(1)
    except ValueError as reason:
        pytest.skip(str(reason))


@pytest.fixture(autouse=True)
def any_program_as_compiler(request, monkeypatch) -> None:
    """Elsewhere none is called, and a machine without one runs the tests as well."""
    if "compiler" not in request.fixturenames:
        monkeypatch.setenv("CXX", sys.executable)


@pytest.fixture
def uncompiled(monkeypatch) -> None:
    """The function that is compiled runs as it is written."""
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_step_that_is_compiled_is_the_step_of_the_book(
    make_vae, batch, recipe, uncompiled
):
    expected = trained(make_vae(), batch, 3, **recipe)
    assert_same(trained(make_vae(), batch, 3, compile=(0,), **recipe), expected)


def test_only_whole_batches_are_compiled(make_vae, batch, monkeypatch):
    """A last, smaller batch would cost as much compiling again; so would the first."""
    sizes = []

    def note(function, **options):
        def noted(*args, **rest):
            sizes.append(len(signature(function).bind(*args, **rest).arguments["x"]))
            return function(*args, **rest)

        return noted

    monkeypatch.setattr(torch, "compile", note)
    trained(make_vae(), batch, 2, compile=(0,))  # batches of 3, 3, 1, 3, 3, 1
    assert sizes == [3, 3, 3]


def test_a_clipped_recipe_is_clipped(make_vae, batch):
    """Else the laws here would say nothing about clip_norm."""
    clipped = trained(make_vae(), batch, 3, **RECIPES["beta"])
    free = trained(make_vae(), batch, 3, **RECIPES["beta"] | {"clip_norm": None})
    with pytest.raises(AssertionError):
        assert_same(clipped, free)


@pytest.mark.parametrize("compiled", [(0,), (1,), (0, 2)])
def test_a_run_may_change_between_the_two(make_vae, batch, compiled, uncompiled):
    expected = trained(make_vae(), batch, 1, 1, 1)
    assert_same(trained(make_vae(), batch, 1, 1, 1, compile=compiled), expected)


@pytest.mark.long
@pytest.mark.parametrize("recipe", REAL.values(), ids=REAL)
def test_compiled_once_for_all_step_sizes_models_and_calls(
    make_vae, batch, recipe, compiler
):
    """A whole step is one compiled function, and gives what the eager step gives."""
    expected = trained(make_vae(), batch, 2, 1, **recipe)
    assert_same(trained(make_vae(), batch, 2, 1, compile=(0, 1), **recipe), expected)
    with torch.compiler.set_stance("fail_on_recompile"):
        for change in ({"lr": 0.05}, {"schedule": "constant"}, {"warmup": 1.5}):
            recipe = recipe | change
            expected = trained(make_vae(), batch, 1, 2, **recipe)
            assert_same(
                trained(make_vae(), batch, 1, 2, compile=(1,), **recipe), expected
            )


@pytest.mark.long
def test_a_sweep_may_compile_more_versions_than_torch_allows(
    make_vae, batch, monkeypatch
):
    """Torch refuses the ninth, or here already the second; tracing alone, no C++."""
    compile = partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", compile)
    torch.compiler.reset()
    with torch._dynamo.config.patch(recompile_limit=1):
        for beta in (0.25, 0.5, 0.75):
            trained(make_vae(), batch, 1, compile=(0,), beta=beta)


LEARNED = {"likelihood": "gaussian", "learn_noise": True}


@pytest.mark.long
@pytest.mark.parametrize(
    "network",
    [LEARNED, {"likelihood": "gaussian"}, {"likelihood": "continuous_bernoulli"}],
)
@pytest.mark.parametrize("frozen", [False, True])
def test_every_likelihood_and_frozen_layers_are_compiled(
    make_vae, batch, network, frozen, monkeypatch
):
    """As one function, without a break; tracing alone, no C++."""
    compile = partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", compile)
    models = [make_vae(**network) for _ in range(2)]
    for model in models:
        model.encoder.requires_grad_(not frozen)
    expected = trained(models[0], batch, 2, clip_norm=0.1)
    found = trained(models[1], batch, 2, clip_norm=0.1, compile=(0,))
    pairs = zip(found.parameters(), expected.parameters(), strict=True)
    for weight, known in pairs:
        assert_close(weight, known, rtol=1e-9, atol=1e-9)


def test_without_a_compiler_there_is_one_clear_line(
    make_vae, batch, monkeypatch, refuses
):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with refuses(ValueError, "expected a C++ compiler", "no-such-compiler"):
        trained(make_vae(), batch, 1, compile=(0,))


def test_several_processes_do_not_compile(make_vae, batch, monkeypatch, refuses):
    """Their gradients would not be averaged."""
    model = make_vae()
    monkeypatch.setattr("vae_lib.compiled.n_processes", lambda: 2)
    with refuses(ValueError, "expected one process for step='compiled'", "got 2"):
        trained(model, batch, 1, compile=(0,))
    for weight, known in zip(model.parameters(), make_vae().parameters(), strict=True):
        assert torch.equal(weight, known)
