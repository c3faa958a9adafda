"""Training stays on its device: no step copies to the host or waits for it."""

import math
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vae_lib.checkpoints import load
from vae_lib.diffusion import Diffusion
from vae_lib.guards import pick_device
from vae_lib.hierarchical import HierarchicalVAE
from vae_lib.latent import LatentVariableModel
from vae_lib.layered_configs import ORDERS, DiffusionConfig, HierarchicalConfig
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.runs import MODEL, train_run
from vae_lib.steps import Epoch, take_step, train_epoch
from vae_lib.training import STEPS, step_for, train

aten = torch.ops.aten
WAITS = {  # the host needs their result, or (lift_fresh) sends a number of its own
    *(aten._local_scalar_dense, aten.equal, aten.is_nonzero, aten.lift_fresh),
    *(aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim),
}
OPTIONS = {
    "plain": {},
    "clipped": {"beta": 0.5, "clip_norm": 0.1},
    "binarized": {"binarization": "sample", "n_samples": 2},
    "iwae": {"objective": "iwae", "n_samples": 3, "clip_norm": 0.1},
}
MOVES = {aten._to_copy, aten.copy_}  # of a tensor to another device
CUDA, MPS = torch.cuda.is_available(), torch.backends.mps.is_available()
GPU = "cuda" if CUDA else "mps"
on_gpu = pytest.mark.gpu
skipped = pytest.mark.skipif(not (CUDA or MPS), reason="neither CUDA nor MPS is here")
HERE_AND_THERE = ["cpu", pytest.param(GPU, marks=[on_gpu, skipped])]
MOVES_OF_A_RUN = [
    pytest.param(*pair, marks=[on_gpu, skipped])
    for pair in (("cpu", GPU), (GPU, "cpu"))
]
CONFIG = VAEConfig(latent_dim=2, hidden_dims=(8,), n_pixels=6)
RECIPE = Recipe(epochs=3, batch_size=16, lr=1e-2, binarization="sample")


class Watch(TorchDispatchMode):
    """Notes every operation: where its results lie, and whether the host waits."""

    def __init__(self):
        super().__init__()
        self.waits, self.devices = [], set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given, made = (
            {leaf.device.type for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}
            for tree in ((args, kwargs), result)
        )
        self.devices |= made
        moves = len(given | made) > 1 and function.overloadpacket in MOVES
        if moves or function.overloadpacket in WAITS:
            self.waits.append(str(function))
        return result


def layered(name: str) -> LatentVariableModel:
    """A model of several codes of six pixels: by its order, or a diffusion."""
    if name in ORDERS:
        config = HierarchicalConfig((3, 2), (5, 4), n_pixels=6, encoder=name)
        return HierarchicalVAE(config)
    model = Diffusion(DiffusionConfig(6, 4, (5,)))
    torch.nn.init.normal_(model.network[-1].weight)
    return model


def run_epoch(
    model: LatentVariableModel, images: Tensor, optimizer, **options
) -> Tensor:
    order = torch.arange(len(images), device=images.device)
    how = {"latent_dim": model.config.latent_dim}
    how["step"] = options.pop("step", take_step)
    recipe = Recipe(epochs=1, batch_size=3, lr=0.01, **options)
    return train_epoch(model, images, optimizer, recipe, Epoch(order), **how)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_step_needs_no_value_and_makes_nothing_elsewhere(make_vae, options):
    """Tensors on "meta" have a device but no values: to read one is an error."""
    model = make_vae().to("meta")
    images = torch.empty(7, 6, dtype=torch.float64, device="meta")
    optimizer = torch.optim.SGD(model.parameters(), lr=math.nan)
    with Watch() as watch:
        sums = run_epoch(model, images, optimizer, **options)
    assert sums.shape == (3, 3) and watch.devices == {"meta"} and not watch.waits


@pytest.mark.parametrize("name", [*ORDERS, "diffusion"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_nor_does_a_step_of_several_codes(name, options):
    model, images = layered(name).to("meta"), torch.empty(7, 6, device="meta")
    if name in ORDERS and options.get("objective") != "iwae":
        options = options | {"free_bits": 0.1}
    optimizer = torch.optim.SGD(model.parameters(), lr=math.nan)
    with Watch() as watch:
        run_epoch(model, images, optimizer, **options)
    assert watch.devices == {"meta"} and not watch.waits


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("how", STEPS)
def test_no_step_with_adam_waits_for_the_host(
    make_vae, batch, options, how, monkeypatch
):
    model = make_vae()
    adam = torch.optim.Adam(model.parameters(), fused=True)
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    monkeypatch.setenv("CXX", sys.executable)  # none is called
    step = step_for(model, adam, Recipe(1, 3), how)
    with Watch() as watch:
        run_epoch(model, batch, adam, step=step, **options)
    assert not watch.waits


@pytest.mark.parametrize("device", HERE_AND_THERE)
def test_the_waits_of_an_epoch_do_not_grow_with_its_steps(make_vae, device):
    counts = []
    for n_steps in (2, 20):
        images = torch.rand(3 * n_steps, 6)
        options = {"batch_size": 3, "device": device, "progress": False}
        with Watch() as watch:
            train(make_vae().float(), images, epochs=2, clip_norm=0.1, **options)
        counts.append(len(watch.waits))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize(
    "cuda, mps, expected",
    [
        (True, True, "cuda"),
        (True, False, "cuda"),
        (False, True, "mps"),
        (False, False, "cpu"),
    ],
)
def test_auto_takes_cuda_then_mps_then_the_cpu(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device("auto").type == expected


@pytest.fixture
def images() -> Tensor:
    return torch.rand(50, 6, generator=torch.Generator().manual_seed(0)).round()


@pytest.mark.parametrize("device", HERE_AND_THERE)
@pytest.mark.parametrize("kind", ["mlp", "conv", *ORDERS, "diffusion"])
def test_a_device_computes_the_bound_and_the_gradient_of_the_cpu(device, kind):
    if kind in ("mlp", "conv"):
        shape = (1, 8, 8) if kind == "conv" else None
        options = {"network": kind, "shape": shape, "activation": "silu"}
        model = VAE(VAEConfig(3, (6, 5), n_pixels=64, **options))
    else:
        model = layered(kind)
    x = torch.rand(7, model.config.n_pixels)
    eps, found = torch.randn(2, 7, model.noise_dim), []
    for place in ("cpu", device):
        model.zero_grad()
        output = model.to(place)(x.to(place), eps=eps.to(place), weights=True)
        output.log_w.sum().backward()
        gradients = [weight.grad.cpu() for weight in model.parameters()]
        found.append([output.log_w.detach().cpu(), *gradients])
    # A GPU may round the factors of a convolution to ten bits.
    for here, there in zip(*found, strict=True):
        assert (here - there).norm() <= 0.01 * here.norm()


@pytest.mark.parametrize("device", HERE_AND_THERE)
def test_a_generator_of_the_device_decides_what_is_drawn(images, device):
    found = []
    for seed in (3, 3, 4):
        torch.manual_seed(0)
        model = VAE.from_data(CONFIG, images)
        draws = torch.Generator(device).manual_seed(seed)
        train(model, images, RECIPE, generator=draws, device=device, progress=False)
        drawn = model.sample(4, generator=draws)
        assert drawn.device.type == device
        found.append([drawn.cpu(), *(w.cpu() for w in model.state_dict().values())])
    assert all(map(torch.equal, found[0], found[1]))
    assert not torch.equal(found[0][0], found[2][0])


@pytest.mark.parametrize("first, second", [("cpu", "cpu"), *MOVES_OF_A_RUN])
def test_a_run_goes_on_on_another_device(images, tmp_path, first, second):
    options = {"progress": False, "seed": 0}
    recipe = replace(RECIPE, epochs=1)
    begun = train_run(tmp_path, images, CONFIG, recipe, device=first, **options)
    row = begun.history.rows[0]
    options |= {"resume": True, "device": second}
    model = train_run(tmp_path, images, CONFIG, RECIPE, **options)
    assert model.history.rows[0] == row and len(model.history.rows) == 3
    assert model.history.rows[-1]["elbo"] > row["elbo"]
    assert {weight.device.type for weight in model.parameters()} == {second}
    moments = model.history.optimizer.state.values()
    assert {moment["exp_avg"].device.type for moment in moments} == {second}


@on_gpu
@skipped
@pytest.mark.filterwarnings("ignore")  # of compilers, by version
def test_compiled_steps_on_a_gpu_give_the_numbers_of_plain_ones(images):
    found = []
    for step in ("autograd", "compiled"):
        torch.manual_seed(0)
        model = VAE.from_data(CONFIG, images)
        draws = torch.Generator(GPU).manual_seed(1)
        options = {"generator": draws, "device": GPU, "progress": False}
        train(model, images, RECIPE, step=step, **options)
        found.append(model.state_dict())
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)


@on_gpu
@skipped
def test_training_on_a_gpu_raises_the_bound_where_the_images_lie(make_vae, monkeypatch):
    images = (torch.arange(8) % 2).float()[:, None].expand(8, 6)
    places, encode = set(), VAE.encode
    note = lambda self, x: places.add(x.device.type) or encode(self, x)  # noqa: E731
    monkeypatch.setattr(VAE, "encode", note)
    model, options = make_vae().float(), {"batch_size": 4, "lr": 0.02}
    rows = train(model, images, epochs=150, progress=False, **options).rows
    assert rows[0]["elbo"] < -3.5 and rows[-1]["elbo"] > -2.5
    assert places == {GPU} == {weight.device.type for weight in model.parameters()}


@on_gpu
@skipped
def test_a_run_stopped_and_resumed_on_a_gpu_gives_the_same_bits(
    images, tmp_path, monkeypatch
):
    options = {"device": GPU, "progress": False}
    whole = train_run(tmp_path / "whole", images, CONFIG, RECIPE, **options)
    calls, encode = [], VAE.encode

    def stop(self, x):
        calls.append(x)
        if len(calls) == 6:  # an epoch has four steps
            raise KeyboardInterrupt
        return encode(self, x)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VAE, "encode", stop)
        train_run(tmp_path / "pieces", images, CONFIG, RECIPE, **options)
    torch.manual_seed(99)
    options |= {"resume": True}
    pieces = train_run(tmp_path / "pieces", images, CONFIG, RECIPE, **options)
    for name, weight in whole.state_dict().items():
        assert torch.equal(pieces.state_dict()[name], weight)


@on_gpu
@skipped
def test_a_checkpoint_of_a_gpu_loads_on_the_cpu(images, tmp_path):
    options = {"device": GPU, "progress": False}
    model = train_run(tmp_path, images, CONFIG, RECIPE, **options)
    found = load(tmp_path / MODEL)
    assert found.input_mean.device.type == "cpu"
    for name, weight in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], weight.cpu())
