"""What training and evaluation ask of a model and its images before they begin."""

import torch
from torch import Tensor

from vae_lib.data import check_images
from vae_lib.domains import DTYPES, require
from vae_lib.latent import LatentVariableModel
from vae_lib.priors import StandardNormal
from vae_lib.recipes import Recipe


def check_model(model: LatentVariableModel) -> None:
    """Raise ValueError unless it is a VAE whose numbers can be trained and averaged.

    Shorter types than float32 cannot: Adam's steps and the nats of an image round away.
    ``torch.autocast`` around a model of float32 is another matter, and goes.
    """
    require(isinstance(model, LatentVariableModel), "a VAE", model)
    tensors = [model.input_mean, *model.parameters()]
    expected = "a model of float32 or of float64 throughout"
    for tensor in tensors:
        sound = tensor.dtype in DTYPES and tensor.dtype == tensors[0].dtype
        require(sound, expected, tensor.dtype)
        placed = tensor.device == tensors[0].device and not tensor.is_meta
        require(placed, f"a model on one device, {tensors[0].device}", tensor.device)


def check_judged(model: LatentVariableModel) -> None:
    """Raise ValueError unless averages over this model are numbers: a look at each."""
    check_model(model)
    for name, tensor in model.state_dict().items():
        finite = bool(tensor.isfinite().all())
        require(finite, "a model of finite weights", f"NaN or infinity in {name}")


def check_given(
    model: LatentVariableModel,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    bits: bool = False,
) -> None:
    """Raise ValueError unless images (N, D) and their labels are what the model takes.

    Their pixels must lie in [0, 1] unless its likelihood is Gaussian and no bits are to
    be drawn of them; their type must be the model's. Labels are what its
    ``check_labels`` asks for, and None for a model that is told none.
    """
    model.check(images)
    model.check_labels(labels, len(images))
    if bits:
        check_images(images, model.config.n_pixels)
    dtype = model.x_dtype
    require(images.dtype == dtype, f"images of {dtype}, as the model", images.dtype)


def with_labels(given: Tensor | tuple) -> tuple:
    """Images and their labels, or None for labels, of what ``validation`` may be."""
    pair = given if isinstance(given, tuple) else (given, None)
    require(len(pair) == 2, "images, or images and labels", f"{len(pair)} things")
    return pair


def check_evidence(model: LatentVariableModel) -> None:
    """Raise ValueError unless the model has a log p(x): an auto-encoder has none."""
    check_judged(model)
    kind = type(model).__name__
    require(model.draws_z, "a model with a prior, and so with a log p(x)", kind)


def check_gaussian(model: LatentVariableModel, why: str) -> None:
    """Raise ValueError unless q(z|x) is the Gaussian of the encoder's mu and logvar."""
    if not model.q_is_gaussian:
        got = getattr(model.config, "posterior", type(model).__name__)
        raise ValueError(f"expected the posterior 'gaussian' for {why}, got {got!r}")


def check_trainable(model: LatentVariableModel, recipe: Recipe) -> None:
    """Raise ValueError unless this recipe can train this model, all of it in use."""
    check_model(model)
    kind = type(model).__name__
    drawing = {"beta": 1.0, "objective": "elbo", "n_samples": 1, "free_bits": 0.0}
    drawing |= {"gradient": "total"}
    for name, value in drawing.items():
        asked = getattr(recipe, name)
        used = model.draws_z or asked == value
        require(used, f"{name} = {value!r} with {kind}, which draws no z", asked)
    if recipe.free_bits > 0 and not model.top_is_standard:
        prior = getattr(model, "prior", model)
        closed = isinstance(prior, StandardNormal)
        require(closed, "the prior 'standard' for free bits", type(prior).__name__)
        check_gaussian(model, "free bits")
    if recipe.gradient == "path":
        check_gaussian(model, "the gradient 'path'")
    parameters = list(model.parameters())
    free = any(parameter.requires_grad for parameter in parameters)
    require(free, "a model with parameters that are trained", "all of them frozen")
    made = not any(parameter.is_inference() for parameter in parameters)
    require(made, "a model made outside of torch.inference_mode", "one made inside")
    if model.history is not None:
        groups = model.history.optimizer.param_groups
        known = [id(parameter) for group in groups for parameter in group["params"]]
        same = known == [id(parameter) for parameter in parameters]
        start = "set model.history = None to start with a new optimizer"
        require(same, f"the parameters trained so far; {start}", "other parameters")


def place_moments(optimizer: torch.optim.Optimizer) -> None:
    """Move an optimizer's moments to the device and type of its parameters."""
    optimizer.load_state_dict(optimizer.state_dict())
