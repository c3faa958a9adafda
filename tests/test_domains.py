"""Every public function and option has a domain, and refuses the rest in one line.

The table holds a sound call of each function and, for each of its parameters, values
outside of its domain; the sound call with one of these put in must be refused.
"""

import inspect
import json
import math
from dataclasses import asdict, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import sympy
import torch
from public_objects import public_objects
from sympy import Matrix, eye, symbols
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from vae_lib import (
    animals,
    compiled,
    data,
    data_sets,
    distributions,
    evaluation,
    guards,
    molecules,
    objectives,
    plots,
    sequences,
    steps,
    symbolic,
    tokens,
    training,
)
from vae_lib.autoencoder import AutoEncoder
from vae_lib.configs import SequenceConfig, VAEConfig
from vae_lib.diffusion import Diffusion
from vae_lib.domains import described
from vae_lib.hierarchical import HierarchicalVAE, kl_by_layer
from vae_lib.layered_configs import DiffusionConfig, HierarchicalConfig
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.models import VAE
from vae_lib.recipes import Recipe

CONFIG = VAEConfig(latent_dim=2, hidden_dims=(4,), n_pixels=6)
STRINGS = SequenceConfig(2, 4, 3, n_tokens=3, length=3)
TOLD = replace(STRINGS, n_properties=2)
LAYERS = HierarchicalConfig((3, 2), (5, 4), 1, n_pixels=6)
STEPS = DiffusionConfig(2, 4, (5,))
MODULES = {
    *("distributions", "objectives", "configs", "models", "autoencoder", "data"),
    *("evaluation", "plots", "linear_gaussian", "symbolic", "steps", "compiled"),
    *("by_hand", "estimators", "flat_adam"),
    *("guards", "recipes", "training", "data_sets", "animals"),
    *("molecules", "sequences", "tokens"),
    *("layered_configs", "hierarchical", "diffusion"),
}
PARTS = {  # no doors: train puts them together, of what it has checked
    *("steps.Epoch", "steps.TrainingHistory", "steps.bound_and_sums"),
    *("by_hand.Layers", "by_hand.StepByHand", "by_hand.StepByHand.fill_gradients"),
    *("by_hand.Layers.forward", "by_hand.Layers.backward", "training.step_for"),
    *("flat_adam.FlatAdam", "flat_adam.FlatAdam.step"),
    "flat_adam.one_behind_the_other",
    *("estimators.AlongThePath", "estimators.AlongThePath.forward"),
    "estimators.take_path_step",
    "steps.forget_negligible",
    *("guards.check_finite", "guards.hold_interrupts", "recipes.Recipe.step_size"),
    *("recipes.Recipe.noise_shape", "recipes.from_file", "recipes.changed"),
    "guards.is_out_of_memory",
    *("guards.NonFiniteLossError", "style.styled"),
    *("evaluation.ElboReport", "data.ImageSet", "data_sets.DataSet"),
    *("molecules.MoleculeSet", "configs.SequenceConfig.n_pixels"),
    *("sequences.SequenceVAE.x_dtype", "sequences.SequenceVAE.is_told"),
    "data_sets.DataSet.examples_for",
    *("data_sets.describe", "data_sets.kinds_in_words", "configs.VAEConfig.picture"),
    *("models.VAE.q_is_gaussian", "hierarchical.HierarchicalVAE.q_is_gaussian"),
    *("diffusion.Diffusion.q_is_gaussian", "diffusion.Diffusion.signal_and_noise"),
    "layered_configs.HierarchicalConfig.latent_dim",
    "layered_configs.HierarchicalConfig.picture",
    "layered_configs.DiffusionConfig.latent_dim",
    *("autoencoder.AutoEncoder",),  # its constructor is that of VAE
}
HANDED_ON = {"model", "optimizer", "epoch", "step", "stop"}


def rand(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def with_one(value: float, like: Tensor) -> Tensor:
    return like.clone().index_fill_(0, torch.tensor(0), value)


NO_NUMBER = [None, "1", True, [1], 1j, torch.ones(2), np.ones(1), Decimal(1), math.nan]
WHOLE = [*NO_NUMBER, 0, -1, 1.5, 2.0, 2**70, np.float32(2), Fraction(2), torch.ones(())]
POSITIVE = [*NO_NUMBER, 0, -1.0, math.inf, 10**400, np.float32(0), torch.tensor(-1)]
NOT_NEGATIVE = [*NO_NUMBER, -1, -1e-9, math.inf, -math.inf, np.float64("nan")]
NO_NAME = [None, "", "unknown", 0, ["elbo"], b"none", Ellipsis]
SWITCH = [None, 0, 1, "yes", "", [], np.int64(1), torch.zeros(2)]
OTHER_GENERATOR = [0, "cpu", torch, np.random.default_rng(0)]
LABELS_OF_FOUR = [torch.zeros(4).long(), torch.zeros(4), [0, 0, 0, 0], "0000", 0]
NO_FLOATS = [None, 1.0, [1.0], "x", np.ones((3, 2)), torch.ones(3, 2).long()]
NO_FLOATS += [torch.ones(3, 2).bool(), torch.ones(3, 2) + 1j]
ELSEWHERE = [torch.ones(3, 2, device="meta")]
NO_SHAPE = [torch.ones(3, 4), torch.ones(2, 2), torch.ones(())]
NO_TEXT = [None, 3, b"x", ["x"]]
NO_IMAGES = [None, [[0.5] * 6], rand(4, 6).numpy(), rand(4, 5), rand(6), rand(0, 6)]
NO_IMAGES += [rand(4, 1, 2, 3), rand(4, 6).byte(), rand(4, 6).to_sparse()]
NO_IMAGES += [rand(4, 6) + 1j, torch.zeros(4, 6, device="meta"), data.ImageSet(1, 2)]
BAD_VALUES = [with_one(math.nan, rand(4, 6)), with_one(-math.inf, rand(4, 6))]
BAD_PIXELS = [255 * rand(4, 6), rand(4, 6) - 0.5, 1.1 + rand(4, 6)]
IMAGES = NO_IMAGES + BAD_VALUES + BAD_PIXELS
OTHER_TYPE = [rand(4, 6).double(), rand(4, 6).half(), rand(4, 6).bfloat16()]
ROWS = torch.tensor([[1, 2, 0], [1, 0, 0], [0, 0, 0], [2, 2, 0]])
NO_ROWS_OF_TOKENS = [None, [[1, 0, 0]], ROWS.float(), ROWS.int(), ROWS[0], ROWS[:0]]
NO_ROWS_OF_TOKENS += [ROWS[:, :2]]
NO_STRINGS = [ROWS + 3, ROWS - 1, ROWS + 1, ROWS.flip(1)]
NO_PROPERTIES = [rand(4), rand(4, 3), rand(3, 2), rand(4, 2).double(), "gap"]
NO_PROPERTIES += [torch.zeros(4, 2).long(), with_one(math.nan, rand(4, 2))]
NO_MODEL = [None, "mnist-2d", CONFIG, nn.Linear(6, 2), VAE]
SHORT = [lambda: VAE(CONFIG).half(), lambda: VAE(CONFIG).bfloat16()]
MIXED = [lambda: part_of_double(), lambda: VAE(CONFIG).to("meta")]
NO_LAYERS = [*NO_MODEL, lambda: VAE(CONFIG), lambda: HierarchicalVAE(LAYERS).half()]
NO_X_OF_LAYERS = [
    *NO_FLOATS,
    *OTHER_TYPE,
    rand(4, 5),
    rand(0, 6),
    rand(6),
    rand(1, 4, 6),
]
NO_X_OF_LAYERS += [torch.zeros(4, 6, device="meta")]
NO_WIDTHS = [None, 4, "44", {4}, (4,), (4, 0), (4, 5, 6), [4.0, 5.0], [True, True]]
NO_POINTS = [*NO_FLOATS, *ELSEWHERE, rand(4, 3), rand(0, 2), torch.rand(())]
NO_POINTS += [rand(4, 2).double(), rand(4, 2).half()]
FOUR_STEPS = torch.tensor([1, 2, 3, 4])
NO_STEPS = [None, 2, [1, 2, 3, 4], FOUR_STEPS.float(), FOUR_STEPS.int(), FOUR_STEPS[:0]]
NO_STEPS += [FOUR_STEPS + 1, FOUR_STEPS - 1, FOUR_STEPS.to("meta")]
NO_NUMBERS = [None, "x", ["x"], 1.0, [], torch.ones(3) + 1j, [[1.0], [1.0, 2.0]]]
NOT_FINITE = [torch.tensor([1.0, 2.0, math.nan]), [1.0, 2.0, math.inf]]
WRONG_COUNT = [torch.ones(4), torch.ones(3, 2), torch.ones(2)]
NO_PICTURES = [None, rand(3, 784).numpy(), rand(784), rand(0, 784), rand(3, 1024)]
NO_PICTURES += [rand(3, 2352), rand(3, 28, 28), rand(3, 1, 28, 28), rand(12, 392)]
NO_PICTURES += [255 * rand(3, 784), (255 * rand(3, 784)).byte(), rand(3, 784) - 1]
NO_PICTURES += [with_one(math.nan, rand(3, 784)), rand(3, 784) + 1j]
PICTURE = {"ink": SWITCH, "shape": [None, 28, (28, 28), (784, 1, 1), (1, 28, 0)]}
PICTURE["shape"] += [(2, 14, 28), (3, 28, 28), "1x2", (1, 28, 28.0), [[1], 28, 28]]
KEYS = ("epoch", "elbo", "log_p_x_given_z", "kl")
ROW = dict.fromkeys(KEYS, 1.0)
NO_ROWS = [None, [], ROW, (ROW,), [1], [{"epoch": 1}], [ROW | {"kl": math.nan}]]
NO_ROWS += [[ROW | {"elbo": "1"}], [ROW | {"valid_kl": None}], [ROW, {}], "rows"]
X, MU, SIGMA = symbols("x m", real=True) + symbols("s,", positive=True)
NO_EXPRESSION = [None, "x", True, torch.ones(()), [X], Matrix([X])]
NO_MEAN = [None, X, [0, 0], Matrix([[0, 0]]), sympy.zeros(0, 1), np.zeros(2)]
NO_COVARIANCE = [None, X, eye(3), Matrix([1, 1]), np.eye(2), [[1, 0], [0, 1]]]
LINEAR = LinearGaussianModel(torch.ones(3, 2), torch.zeros(3), 0.5)
NO_X = [
    None,
    [1.0],
    torch.ones(4, 2),
    torch.ones(4, 3).double(),
    torch.ones(4, 3).int(),
]
NO_X += [torch.full((4, 3), math.nan), torch.ones(4, 3, device="meta"), torch.ones(())]


def part_of_double() -> VAE:
    model = VAE(CONFIG)
    model.decoder.double()
    return model


def without_number() -> VAE:
    model = VAE(CONFIG)
    with torch.no_grad():
        model.decoder[0].bias[1] = math.nan
    return model


def epoch_of(model: VAE, **options) -> dict:
    """The arguments of train_epoch for four images."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parts = {"model": model, "optimizer": optimizer, "recipe": Recipe(epochs=1)}
    return parts | {"epoch": steps.Epoch(torch.arange(4))} | options


def step_of(model: VAE) -> dict:
    """The arguments of take_step for four images."""
    parts = epoch_of(model)
    parts = {name: parts[name] for name in ("model", "optimizer")}
    return parts | {"x": rand(4, 6), "eps": rand(4, 2), "n_images": 4}


RECIPE = {
    "epochs": WHOLE,
    "batch_size": WHOLE,
    "lr": POSITIVE,
    "schedule": NO_NAME,
    "warmup": NOT_NEGATIVE,
    "beta": NOT_NEGATIVE,
    "objective": NO_NAME,
    "n_samples": WHOLE,
    "binarization": NO_NAME,
    "clip_norm": POSITIVE[1:],
    "free_bits": NOT_NEGATIVE,
    "gradient": NO_NAME,
}
DEVICES = [None, 0, "", "abacus", "meta", "cuda:x", torch.device("meta"), ["cpu"]]
TRAINED = {"epochs": 1, "device": "cpu", "progress": False}
SIZES = {"batch_size": 4, "n_pixels": 6, "latent_dim": 2}
CURVES = {"x": torch.arange(1, 4), "curves": {"a": torch.ones(3)}}
LABELS = {"xlabel": "x", "ylabel": "y"}
TWO = {"mean": Matrix([0, 0]), "covariance": eye(2)}
PAIR = {"mu_q": Matrix([0, 0]), "covariance_q": eye(2)}
PAIR |= {"mu_p": Matrix([0, 0]), "covariance_p": eye(2)}
FLOATS = NO_FLOATS + ELSEWHERE + NO_SHAPE

# By name: the function, its sound arguments as they are before each call, and the odd
# ones. A function among the odd values makes one.
TABLE = {
    "distributions.gaussian_kl": (
        distributions.gaussian_kl,
        lambda: {"mu": rand(3, 2), "logvar": rand(3, 2)},
        {"mu": FLOATS, "logvar": FLOATS},
    ),
    "distributions.gaussian_log_prob": (
        distributions.gaussian_log_prob,
        lambda: {"x": rand(3, 2), "mu": rand(3, 2), "logvar": rand(3, 2)},
        {"x": FLOATS, "mu": FLOATS, "logvar": FLOATS[:-1] + [torch.ones(3)]},
    ),
    "distributions.bernoulli_log_prob": (
        distributions.bernoulli_log_prob,
        lambda: {"x": rand(3, 2), "x_logits": rand(3, 2)},
        {"x": FLOATS, "x_logits": FLOATS},
    ),
    "distributions.continuous_bernoulli_log_prob": (
        distributions.continuous_bernoulli_log_prob,
        lambda: {"x": rand(3, 2), "x_logits": rand(3, 2)},
        {"x": FLOATS, "x_logits": FLOATS},
    ),
    "distributions.continuous_bernoulli_mean": (
        distributions.continuous_bernoulli_mean,
        lambda: {"x_logits": rand(3, 2)},
        {"x_logits": NO_FLOATS},
    ),
    "distributions.reparameterize": (
        distributions.reparameterize,
        lambda: {"mu": rand(3, 2), "logvar": rand(3, 2)},
        {
            "mu": FLOATS,
            "logvar": FLOATS,
            "n_samples": WHOLE[1:],
            "eps": [*FLOATS[1:], rand(0, 3, 2), rand(5, 5, 3, 2)],
            "generator": OTHER_GENERATOR,
        },
    ),
    "objectives.elbo": (
        objectives.elbo,
        lambda: {"log_p_x_given_z": rand(5, 3), "kl": rand(3)},
        {
            "log_p_x_given_z": [*FLOATS, rand(0, 3), rand(2, 5, 3)],
            "kl": [*FLOATS, rand(4), rand(1, 3)],
            "beta": [*NOT_NEGATIVE, torch.ones((), requires_grad=True)],
        },
    ),
    "objectives.kl_beyond": (
        objectives.kl_beyond,
        lambda: {"mu": rand(3, 2), "logvar": rand(3, 2), "free_bits": 0.1},
        {"mu": FLOATS, "logvar": FLOATS, "free_bits": NOT_NEGATIVE},
    ),
    "objectives.importance_weighted_bound": (
        objectives.importance_weighted_bound,
        lambda: {"log_w": rand(5, 3)},
        {"log_w": [*NO_FLOATS, rand(0, 3), torch.ones(())]},
    ),
    **{
        f"objectives.{function.__name__}": (
            function,
            lambda: {
                "log_w": rand(5, 3),
                "z": rand(5, 3, 2),
                "mu": rand(3, 2),
                "logvar": rand(3, 2),
            },
            {
                "log_w": [*NO_FLOATS, rand(3), rand(5, 2)],
                "z": [*NO_FLOATS, rand(3, 2), rand(5, 3)],
                "mu": [*NO_FLOATS, rand(3, 3), rand(5, 3, 2)],
                "logvar": [*NO_FLOATS, rand(3, 3), rand(2)],
            },
        )
        for function in (objectives.without_score, objectives.doubly_reparameterized)
    },
    "objectives.effective_beta": (
        objectives.effective_beta,
        lambda: {"log_likelihood": "sum", "kl": "mean", **SIZES},
        {"log_likelihood": NO_NAME, "kl": NO_NAME, "kl_weight": POSITIVE}
        | dict.fromkeys(SIZES, WHOLE),
    ),
    "configs.VAEConfig": (
        VAEConfig,
        lambda: {"likelihood": "gaussian"},
        {
            "latent_dim": WHOLE,
            "hidden_dims": [None, 4, "44", {4}, {4: 4}, (4, 0), [4.0], [True], ["4"]]
            + [torch.ones(2), torch.ones(2, 2).int(), np.ones(3), (w for w in (4, 5))],
            "activation": NO_NAME,
            "likelihood": NO_NAME,
            "n_pixels": WHOLE,
            "noise_std": POSITIVE,
            "learn_noise": SWITCH,
            "network": NO_NAME,
            "shape": [3, (28, 28), (1, 2, 3), (0, 1, 1), "1,28,28", (1.0, 28, 28)],
            "prior": NO_NAME,
            "n_components": [*WHOLE, 2],
            "posterior": NO_NAME,
            "n_flows": [*WHOLE, 3],
            "n_couplings": [*WHOLE, 5],
            "flow_dim": [*WHOLE, 8],
        },
    ),
    "configs.SequenceConfig": (
        SequenceConfig,
        dict,
        dict.fromkeys(("latent_dim", "hidden_dim", "embedding_dim", "length"), WHOLE)
        | {"n_tokens": [*WHOLE, 1], "decoder": NO_NAME, "window": [*WHOLE, 2]}
        | {"n_properties": [-1, *NO_NUMBER, 1.5, 2**70]},
    ),
    "layered_configs.HierarchicalConfig": (
        HierarchicalConfig,
        lambda: {"likelihood": "gaussian"},
        {
            "latent_dims": NO_WIDTHS,
            "hidden_dims": NO_WIDTHS,
            "n_hidden": [*NO_NUMBER, -1, 1.5, 2.0, 51, 2**70],
            "activation": NO_NAME,
            "encoder": NO_NAME,
            "likelihood": NO_NAME,
            "n_pixels": WHOLE,
            "noise_std": POSITIVE,
            "learn_noise": SWITCH,
            "shape": [3, (28, 28), (1, 2, 3), (0, 1, 1), "1,28,28", (1.0, 28, 28)],
        },
    ),
    "layered_configs.DiffusionConfig": (
        DiffusionConfig,
        dict,
        {
            "n_pixels": WHOLE,
            "n_steps": [*WHOLE, 1, 10_001],
            "hidden_dims": [None, 4, "44", {4}, (4, 0), [4.0], [True], ["4"]],
            "activation": NO_NAME,
            "log_snr_first": [*NO_NUMBER, math.inf, 20.5, -6, -6.5],
            "log_snr_last": [*NO_NUMBER, -math.inf, -20.5, 6, 6.5],
        },
    ),
    "models.VAE": (
        VAE,
        lambda: {"config": CONFIG},
        {"config": [None, 2, {}, asdict(CONFIG), VAEConfig]},
    ),
    "models.VAE.from_data": (
        VAE.from_data,
        lambda: {"config": CONFIG, "images": rand(4, 6)},
        {"config": [None, {}, asdict(CONFIG)], "images": IMAGES},
    ),
    "models.VAE.check_data": (
        VAE.check_data,
        lambda: {"config": CONFIG, "x": rand(4, 6)},
        {"config": [None, {}, asdict(CONFIG), STRINGS], "x": IMAGES},
    ),
    "models.VAE.encode": (
        lambda **given: VAE(CONFIG).encode(**given),
        lambda: {"x": rand(4, 6)},
        {"x": [*NO_FLOATS, rand(4, 5), rand(0, 6), torch.rand(()), *OTHER_TYPE[:1]]},
    ),
    "models.VAE.decode": (
        lambda **given: VAE(CONFIG).decode(**given),
        lambda: {"z": rand(4, 2)},
        {
            "z": [
                *NO_FLOATS,
                *ELSEWHERE,
                rand(4, 3),
                torch.rand(()),
                rand(4, 2).double(),
            ]
        },
    ),
    "models.VAE.log_p_x_given_z": (
        lambda **given: VAE(CONFIG).log_p_x_given_z(**given),
        lambda: {"x": rand(3, 2), "x_params": rand(3, 2)},
        {"x": FLOATS, "x_params": FLOATS},
    ),
    "models.VAE.forward": (
        lambda **given: VAE(CONFIG)(**given),
        lambda: {"x": rand(4, 6)},
        {
            "x": [*NO_FLOATS, rand(4, 5), rand(4, 6).double()],
            "n_samples": WHOLE[1:],
            "y": LABELS_OF_FOUR,
            "eps": [*NO_FLOATS[1:], rand(4, 3), rand(3, 2), rand(4, 2).double()],
            "generator": OTHER_GENERATOR,
            "weights": SWITCH,
        },
    ),
    "models.VAE.mean_image": (
        lambda **given: VAE(CONFIG).mean_image(**given),
        lambda: {"z": rand(4, 2)},
        {"z": [*NO_FLOATS, rand(4, 3), rand(0, 2)]},
    ),
    "models.VAE.sample": (
        lambda **given: VAE(CONFIG).sample(**given),
        lambda: {"n": 2},
        {"n": WHOLE, "generator": OTHER_GENERATOR},
    ),
    "autoencoder.AutoEncoder.forward": (
        lambda **given: AutoEncoder(CONFIG)(**given),
        lambda: {"x": rand(4, 6)},
        {
            "x": [*NO_FLOATS, rand(4, 5)],
            "y": LABELS_OF_FOUR,
            "n_samples": [1, 3],
            "eps": NO_FLOATS[1:],
            "generator": [torch.Generator(), 0],
            "weights": [True, 1, None],
        },
    ),
    "data.load_mnist": (
        data.load_mnist,
        lambda: {"split": "test"},
        {"split": ["valid", None, ["test"], 0], "device": DEVICES},
    ),
    "data.load_fashion_mnist": (
        data.load_fashion_mnist,
        None,  # it would need a network: test_data has a sound call
        {"split": ["valid", None], "root": [None, 3, b"x"], "device": DEVICES},
    ),
    "animals.load_animals": (
        animals.load_animals,
        lambda: {"split": "test"},
        {"split": ["valid", None, ["test"], 0], "device": DEVICES},
    ),
    "molecules.load_molecules": (
        molecules.load_molecules,
        lambda: {"split": "test"},
        {"split": ["valid", None, ["test"], 0], "device": DEVICES},
    ),
    "molecules.standardized": (
        molecules.standardized,
        lambda: {"properties": rand(4, 5)},
        {
            "properties": [None, [[0.0] * 5], "gap", rand(5), rand(4, 4), rand(2, 4, 5)]
            + [rand(4, 5).long(), rand(4, 5).half(), with_one(math.inf, rand(4, 5))]
        },
    ),
    "molecules.read_smiles": (
        molecules.read_smiles,
        lambda: {"strings": ["C", "c1ccc[nH]1"]},
        {"strings": ["CO", b"CO", ["CX"], [""], [None], ["C" * 23], ["nH"], ["C O"]]},
    ),
    "molecules.write_smiles": (
        molecules.write_smiles,
        lambda: {"tokens": torch.tensor([[1, 2, 0]])},
        {
            "tokens": [
                *(
                    None,
                    [[1]],
                    rand(2, 3),
                    torch.tensor([1, 2]),
                    torch.ones(1, 0).long(),
                ),
                *(
                    torch.tensor([[19]]),
                    torch.tensor([[-1]]),
                    torch.ones(1, 2).cfloat(),
                ),
            ]
        },
    ),
    "tokens.check_tokens": (
        tokens.check_tokens,
        lambda: {"tokens": ROWS, "length": 3, "n_tokens": 3},
        {
            "tokens": NO_ROWS_OF_TOKENS + NO_STRINGS,
            "length": [2, 4],
            "n_tokens": [2],
        },
    ),
    "tokens.categorical_log_prob": (
        tokens.categorical_log_prob,
        lambda: {"tokens": ROWS, "x_logits": rand(5, 4, 3, 3)},
        {
            "tokens": NO_ROWS_OF_TOKENS,
            "x_logits": [*NO_FLOATS, rand(4, 3), rand(4, 2, 3), rand(3, 3, 3)],
        },
    ),
    "sequences.SequenceVAE": (
        sequences.SequenceVAE,
        lambda: {"config": STRINGS},
        {"config": [None, 2, {}, asdict(STRINGS), CONFIG]},
    ),
    "sequences.SequenceVAE.check_data": (
        sequences.SequenceVAE.check_data,
        lambda: {"config": STRINGS, "x": ROWS},
        {"config": [None, {}, CONFIG], "x": NO_ROWS_OF_TOKENS + NO_STRINGS},
    ),
    "sequences.SequenceVAE.check_labels": (
        lambda **given: sequences.SequenceVAE(TOLD).check_labels(**given),
        lambda: {"labels": rand(4, 2), "n": 4},
        {"labels": NO_PROPERTIES, "n": [3, 5]},
    ),
    "sequences.SequenceVAE.encode": (
        lambda **given: sequences.SequenceVAE(STRINGS).encode(**given),
        lambda: {"x": ROWS},
        {"x": NO_ROWS_OF_TOKENS},
    ),
    "sequences.SequenceVAE.decode": (
        lambda **given: sequences.SequenceVAE(STRINGS).decode(**given),
        lambda: {"z": rand(5, 4, 2), "x": ROWS},
        {
            "z": [*NO_FLOATS, *ELSEWHERE, rand(4, 3), rand(3, 2), rand(2)]
            + [rand(4, 2).double()],
            "x": NO_ROWS_OF_TOKENS,
        },
    ),
    "sequences.SequenceVAE.forward": (
        lambda **given: sequences.SequenceVAE(STRINGS)(**given),
        lambda: {"x": ROWS},
        {
            "x": NO_ROWS_OF_TOKENS,
            "n_samples": WHOLE[1:],
            "y": [*LABELS_OF_FOUR, rand(4, 2)],
            "eps": [*NO_FLOATS[1:], rand(4, 3), rand(3, 2), rand(4, 2).double()],
            "generator": OTHER_GENERATOR,
            "weights": SWITCH,
        },
    ),
    "sequences.SequenceVAE.write": (
        lambda **given: sequences.SequenceVAE(STRINGS).write(**given),
        lambda: {"z": rand(4, 2)},
        {
            "z": [*NO_FLOATS, *ELSEWHERE, rand(4, 3), rand(0, 2), rand(2, 4, 2)],
            "greedy": SWITCH,
            "generator": OTHER_GENERATOR,
        },
    ),
    "sequences.SequenceVAE.sample": (
        lambda **given: sequences.SequenceVAE(STRINGS).sample(**given),
        lambda: {"n": 2},
        {"n": WHOLE, "generator": OTHER_GENERATOR},
    ),
    "hierarchical.HierarchicalVAE": (
        HierarchicalVAE,
        lambda: {"config": LAYERS},
        {"config": [None, 2, {}, asdict(LAYERS), CONFIG, HierarchicalConfig]},
    ),
    "hierarchical.HierarchicalVAE.from_data": (
        HierarchicalVAE.from_data,
        lambda: {"config": LAYERS, "images": rand(4, 6)},
        {"config": [None, {}, CONFIG], "images": IMAGES},
    ),
    "hierarchical.HierarchicalVAE.check_data": (
        HierarchicalVAE.check_data,
        lambda: {"config": LAYERS, "x": rand(4, 6)},
        {"config": [None, {}, CONFIG], "x": IMAGES},
    ),
    "hierarchical.HierarchicalVAE.encode": (
        lambda **given: HierarchicalVAE(LAYERS).encode(**given),
        lambda: {"x": rand(4, 6)},
        {"x": NO_X_OF_LAYERS},
    ),
    "hierarchical.HierarchicalVAE.decode": (
        lambda **given: HierarchicalVAE(LAYERS).decode(**given),
        lambda: {"z": rand(5, 4, 3)},
        {"z": [*NO_FLOATS, *ELSEWHERE, rand(4, 2), rand(0, 3), rand(4, 3).double()]},
    ),
    "hierarchical.HierarchicalVAE.prior_of": (
        lambda **given: HierarchicalVAE(LAYERS).prior_of(**given),
        lambda: {"layer": 1, "z": rand(4, 2)},
        {"layer": [*WHOLE, 3], "z": [*NO_POINTS, torch.rand(4, 1)]},
    ),
    "hierarchical.HierarchicalVAE.layers": (
        lambda **given: HierarchicalVAE(LAYERS).layers(**given),
        lambda: {"x": rand(4, 6), "eps": rand(4, 5)},
        {
            "x": NO_X_OF_LAYERS,
            "eps": [*NO_FLOATS, rand(4, 4), rand(3, 5), rand(5), rand(2, 3, 4, 5)]
            + [rand(4, 5).double(), rand(0, 4, 5), torch.zeros(4, 5, device="meta")],
        },
    ),
    "hierarchical.HierarchicalVAE.forward": (
        lambda **given: HierarchicalVAE(LAYERS)(**given),
        lambda: {"x": rand(4, 6)},
        {
            "x": NO_X_OF_LAYERS,
            "n_samples": WHOLE[1:],
            "y": LABELS_OF_FOUR,
            "eps": [*NO_FLOATS[1:], rand(4, 3), rand(3, 5), rand(4, 5).double()],
            "generator": OTHER_GENERATOR,
            "weights": SWITCH,
        },
    ),
    "hierarchical.HierarchicalVAE.mean_image": (
        lambda **given: HierarchicalVAE(LAYERS).mean_image(**given),
        lambda: {"z": rand(4, 3)},
        {"z": [*NO_FLOATS, rand(4, 2), rand(0, 3)]},
    ),
    "hierarchical.HierarchicalVAE.draw_below": (
        lambda **given: HierarchicalVAE(LAYERS).draw_below(**given),
        lambda: {"layer": 2, "z": rand(4, 2)},
        {"layer": [*WHOLE, 3], "z": NO_POINTS, "generator": OTHER_GENERATOR},
    ),
    "hierarchical.HierarchicalVAE.sample": (
        lambda **given: HierarchicalVAE(LAYERS).sample(**given),
        lambda: {"n": 2},
        {"n": WHOLE, "generator": OTHER_GENERATOR},
    ),
    "hierarchical.kl_by_layer": (
        kl_by_layer,
        lambda: {"model": HierarchicalVAE(LAYERS), "images": rand(4, 6)},
        {
            "model": NO_LAYERS,
            "images": IMAGES + OTHER_TYPE,
            "generator": OTHER_GENERATOR,
        },
    ),
    "diffusion.Diffusion": (
        Diffusion,
        lambda: {"config": STEPS},
        {"config": [None, 2, {}, asdict(STEPS), CONFIG, DiffusionConfig]},
    ),
    "diffusion.Diffusion.check_data": (
        Diffusion.check_data,
        lambda: {"config": STEPS, "x": 3 - rand(4, 2)},
        {
            "config": [None, {}, CONFIG],
            "x": [None, [[0.5] * 2], rand(4, 3), rand(2), rand(0, 2), rand(4, 2) + 1j]
            + [rand(4, 2).byte(), with_one(math.nan, rand(4, 2))],
        },
    ),
    "diffusion.Diffusion.encode": (
        lambda **given: Diffusion(STEPS).encode(**given),
        lambda: {"x": rand(4, 2)},
        {"x": [*NO_POINTS, rand(5, 4, 2)]},
    ),
    "diffusion.Diffusion.guess": (
        lambda **given: Diffusion(STEPS).guess(**given),
        lambda: {"x_t": rand(4, 2), "t": FOUR_STEPS},
        {
            "x_t": [*NO_POINTS, rand(3, 2), rand(5, 4, 2)],
            "t": [*NO_STEPS, FOUR_STEPS[:3]],
        },
    ),
    "diffusion.Diffusion.noised": (
        lambda **given: Diffusion(STEPS).noised(**given),
        lambda: {"x": rand(3, 2), "eps": rand(5, 3, 4, 2)},
        {
            "x": [*NO_POINTS, rand(5, 3, 2), rand(4, 2)],
            "eps": [*NO_POINTS, rand(4, 2), rand(3, 5, 2), rand(2, 4, 2)]
            + [rand(3, 4, 2).double()],
        },
    ),
    "diffusion.Diffusion.step_back": (
        lambda **given: Diffusion(STEPS).step_back(**given),
        lambda: {"t": FOUR_STEPS[1:]},
        {"t": [*NO_STEPS, FOUR_STEPS]},
    ),
    "diffusion.Diffusion.forward": (
        lambda **given: Diffusion(STEPS)(**given),
        lambda: {"x": rand(4, 2)},
        {
            "x": [*NO_POINTS, rand(5, 4, 2)],
            "n_samples": WHOLE[1:],
            "y": LABELS_OF_FOUR,
            "eps": [*NO_FLOATS[1:], rand(4, 7), rand(3, 8), rand(4, 8).double()]
            + [rand(4, 4, 2), rand(0, 4, 8)],
            "generator": OTHER_GENERATOR,
            "weights": SWITCH,
        },
    ),
    "diffusion.Diffusion.sample": (
        lambda **given: Diffusion(STEPS).sample(**given),
        lambda: {"n": 2},
        {"n": WHOLE, "generator": OTHER_GENERATOR},
    ),
    "data.binarize": (
        data.binarize,
        lambda: {"images": rand(4, 6), "how": "sample"},
        {
            "images": [None, rand(4, 6).byte(), rand(0, 6), *BAD_PIXELS, BAD_VALUES[0]],
            "how": NO_NAME,
            "generator": OTHER_GENERATOR,
        },
    ),
    "data.check_images": (
        data.check_images,
        lambda: {"images": rand(4, 6), "n_pixels": 6},
        {"images": IMAGES, "n_pixels": [*WHOLE, 5], "unit_interval": SWITCH},
    ),
    "data.check_unit_interval": (
        data.check_unit_interval,
        lambda: {"images": rand(4, 6)},
        {"images": [*BAD_PIXELS, BAD_VALUES[0]]},
    ),
    "data_sets.usual_for": (
        data_sets.usual_for,
        lambda: {"config": CONFIG},
        {"config": [None, {}, VAEConfig, asdict(CONFIG)]},
    ),
    "data_sets.find_data_set": (
        data_sets.find_data_set,
        lambda: {"name": "mnist"},
        {"name": [*NO_NAME, 3, " ", "mnis", "nowhere", "/dev/null", "nowhere.npz"]},
    ),
    "evaluation.evaluate_elbo": (
        evaluation.evaluate_elbo,
        lambda: {"model": VAE(CONFIG), "images": rand(4, 6)},
        {
            "model": NO_MODEL + SHORT + MIXED + [without_number],
            "images": IMAGES + OTHER_TYPE,
            "labels": LABELS_OF_FOUR,
            "batch_size": WHOLE,
            "generator": OTHER_GENERATOR,
        },
    ),
    "evaluation.log_likelihood": (
        evaluation.log_likelihood,
        lambda: {"model": VAE(CONFIG), "images": rand(4, 6), "n_samples": 2},
        {
            "model": [*NO_MODEL, *SHORT, *MIXED, lambda: AutoEncoder(CONFIG)]
            + [without_number],
            "images": IMAGES + OTHER_TYPE,
            "labels": LABELS_OF_FOUR,
            "n_samples": WHOLE,
            "chunk": WHOLE,
            "generator": OTHER_GENERATOR,
        },
    ),
    "evaluation.log_likelihood_by_quadrature": (
        evaluation.log_likelihood_by_quadrature,
        lambda: {"model": VAE(CONFIG), "images": rand(4, 6), "n_nodes": 9},
        {
            "model": [
                *(*NO_MODEL, *SHORT, *MIXED, lambda: AutoEncoder(CONFIG)),
                lambda: VAE(replace(CONFIG, latent_dim=3)),
                lambda: VAE(replace(CONFIG, likelihood="gaussian")),
                lambda: HierarchicalVAE(replace(LAYERS, latent_dims=(1, 1))),
                lambda: Diffusion(replace(STEPS, n_pixels=1, n_steps=2)),
                lambda: sequences.SequenceVAE(STRINGS),
            ],
            "images": IMAGES + OTHER_TYPE,
            "limit": POSITIVE,
            "n_nodes": [*WHOLE, 1, 10_000],
            "chunk": WHOLE,
        },
    ),
    "evaluation.active_units": (
        evaluation.active_units,
        lambda: {"model": VAE(CONFIG), "images": rand(4, 6)},
        {
            "model": NO_MODEL
            + SHORT
            + MIXED
            + [without_number, lambda: HierarchicalVAE(LAYERS)],
            "images": [*IMAGES, *OTHER_TYPE, rand(1, 6)],
            "threshold": NOT_NEGATIVE,
        },
    ),
    "plots.plot_images": (
        plots.plot_images,
        lambda: {"images": rand(3, 784)},
        {"images": NO_PICTURES, "n_columns": WHOLE, "title": NO_TEXT, **PICTURE},
    ),
    "plots.plot_curves": (
        plots.plot_curves,
        lambda: CURVES | LABELS,
        {
            "x": [*NO_NUMBERS, *NOT_FINITE, *WRONG_COUNT],
            "curves": [None, {}, [torch.ones(3)], torch.ones(3), {1: torch.ones(3)}]
            + [{"a": y} for y in (*NO_NUMBERS, *NOT_FINITE, *WRONG_COUNT)]
            + [{f"curve {n}": torch.ones(3) for n in range(11)}],
            "xlabel": NO_TEXT,
            "ylabel": NO_TEXT,
            "errors": [torch.ones(3), {"b": torch.ones(3)}, {"a": -torch.ones(3)}]
            + [{"a": torch.ones(4)}, {"a": [1.0, 1.0, math.nan]}, {"a": None}],
            "log": [None, "z", "yx", True, "log", ["x"]],
            "markers": SWITCH,
        },
    ),
    "plots.plot_history": (
        plots.plot_history,
        lambda: {"rows": [ROW]},
        {"rows": NO_ROWS},
    ),
    "plots.plot_latent": (
        plots.plot_latent,
        lambda: {"z": rand(3, 2), "labels": torch.arange(3)},
        {
            "z": [
                None,
                "x",
                rand(3),
                rand(3, 1),
                rand(3, 3),
                rand(0, 2),
                rand(3, 2) + 1j,
            ]
            + [with_one(math.nan, rand(3, 2)), rand(3, 2, 1)],
            "labels": [None, "abc", ["a", "b", "c"], torch.arange(4), rand(3)]
            + [torch.arange(3)[:, None], torch.eye(3).long(), torch.arange(3) + 1j],
            "limit": POSITIVE[1:],
        },
    ),
    "plots.plot_latent_grid": (
        plots.plot_latent_grid,
        lambda: {"images": rand(9, 784), "ticks": torch.arange(3.0)},
        {
            "images": [*NO_PICTURES, rand(8, 784), rand(10, 784), rand(9, 1024)],
            "ticks": [*NO_NUMBERS, *NOT_FINITE, *WRONG_COUNT],
            "title": NO_TEXT,
            **PICTURE,
        },
    ),
    "linear_gaussian.LinearGaussianModel": (
        LinearGaussianModel,
        lambda: {"weight": rand(3, 2), "mean": rand(3), "noise_std": 0.5},
        {
            "weight": [None, [[1.0]], rand(3), rand(4, 2), rand(3, 0), rand(3, 2).int()]
            + [rand(3, 2).double(), rand(3, 2).half(), with_one(math.nan, rand(3, 2))],
            "mean": [None, [1.0], rand(4), rand(3, 1), rand(3).double(), rand(3).half()]
            + [with_one(math.inf, rand(3)), torch.ones(3, device="meta")],
            "noise_std": POSITIVE,
        },
    ),
    "linear_gaussian.LinearGaussianModel.log_p_x_given_z": (
        LINEAR.log_p_x_given_z,
        lambda: {"x": rand(4, 3), "z": rand(4, 2)},
        {"x": [*NO_X, rand(5, 3)], "z": [None, rand(4, 3), rand(4, 2).double()]},
    ),
    "linear_gaussian.LinearGaussianModel.log_evidence": (
        LINEAR.log_evidence,
        lambda: {"x": rand(4, 3)},
        {"x": NO_X},
    ),
    "linear_gaussian.LinearGaussianModel.posterior": (
        LINEAR.posterior,
        lambda: {"x": rand(4, 3)},
        {"x": [*NO_X, rand(3), rand(2, 4, 3)]},
    ),
    "linear_gaussian.LinearGaussianModel.sample": (
        LINEAR.sample,
        lambda: {"n": 2},
        {"n": WHOLE, "generator": OTHER_GENERATOR},
    ),
    "linear_gaussian.LinearGaussianModel.fit": (
        LinearGaussianModel.fit,
        lambda: {"x": rand(9, 5), "latent_dim": 2},
        {
            "x": [
                None,
                rand(9),
                rand(1, 5),
                rand(9, 2),
                rand(9, 5).half(),
                rand(9, 5).int(),
            ]
            + [
                with_one(math.nan, rand(9, 5)),
                rand(9, 2) @ rand(2, 5),
                torch.ones(9, 5),
            ],
            "latent_dim": [*WHOLE, 5],
        },
    ),
    "symbolic.residual": (
        symbolic.residual,
        lambda: {"left": X, "right": X},
        {"left": NO_EXPRESSION, "right": NO_EXPRESSION},
    ),
    "symbolic.gaussian_log_density": (
        symbolic.gaussian_log_density,
        lambda: {"z": X, "mu": MU, "sigma": SIGMA},
        {
            "z": NO_EXPRESSION,
            "mu": NO_EXPRESSION,
            "sigma": [*NO_EXPRESSION, 0, -1, MU, sympy.Symbol("s")],
        },
    ),
    "symbolic.gaussian_expectation": (
        symbolic.gaussian_expectation,
        lambda: {"expression": X, "z": X, "mu": MU, "sigma": SIGMA},
        {
            "expression": NO_EXPRESSION,
            "z": [*NO_EXPRESSION, 2, X + 1],
            "mu": NO_EXPRESSION,
            "sigma": [*NO_EXPRESSION, 0, -1, MU],
        },
    ),
    "symbolic.quadratic_expectation": (
        symbolic.quadratic_expectation,
        lambda: {"expression": X * MU, "x": [X, MU], **TWO},
        {
            "expression": [*NO_EXPRESSION, X**3, sympy.exp(X), 1 / X],
            "x": [None, X, [], [X], [X, 2], "xy"],
            "mean": NO_MEAN,
            "covariance": NO_COVARIANCE,
        },
    ),
    "symbolic.quadratic_form_mean": (
        symbolic.quadratic_form_mean,
        lambda: {"a": eye(2), **TWO},
        {"a": NO_COVARIANCE, "mean": NO_MEAN, "covariance": NO_COVARIANCE},
    ),
    "symbolic.gaussian_kl": (
        symbolic.gaussian_kl,
        lambda: {"mu": [MU], "sigma": [SIGMA]},
        {
            "mu": [None, MU, [], [MU, MU], [None], ["m"]],
            "sigma": [None, SIGMA, [], [SIGMA, SIGMA], [0], [-1], [MU]],
        },
    ),
    "symbolic.gaussian_kl_trace": (
        symbolic.gaussian_kl_trace,
        lambda: {"mu": Matrix([0, 0]), "covariance": eye(2)},
        {"mu": NO_MEAN, "covariance": NO_COVARIANCE},
    ),
    "symbolic.gaussian_kl_general": (
        symbolic.gaussian_kl_general,
        lambda: PAIR,
        {
            "mu_q": [*NO_MEAN, Matrix([0])],
            "covariance_q": NO_COVARIANCE,
            "mu_p": [*NO_MEAN, Matrix([0])],
            "covariance_p": [*NO_COVARIANCE, sympy.zeros(2, 2)],
        },
    ),
    "steps.take_step": (
        steps.take_step,
        lambda: step_of(VAE(CONFIG)),
        {
            "x": [*NO_FLOATS, rand(4, 5)],
            "eps": [*NO_FLOATS[1:], rand(4, 3), rand(5, 2)],
            "y": LABELS_OF_FOUR,
            "n_images": [0, -1, math.nan],
            "beta": NOT_NEGATIVE,
            "objective": NO_NAME,
            "clip_norm": [0, -1.0, math.nan],
            "free_bits": NOT_NEGATIVE,
        },
    ),
    "steps.train_epoch": (
        steps.train_epoch,
        lambda: epoch_of(VAE(CONFIG), images=rand(4, 6), latent_dim=2),
        {
            "images": [rand(4, 5), rand(4, 6).byte(), rand(4, 6).double()],
            "recipe": [None, {"epochs": 1}, "fast"],
            "n_done": [-1, 0.5, "none", None],
            "latent_dim": [*WHOLE, 3],
            "labels": LABELS_OF_FOUR[:1],
            "generator": OTHER_GENERATOR,
        },
    ),
    "compiled.compile_step": (
        compiled.compile_step,
        None,  # a machine need not have a compiler: test_compiled has sound calls
        {"batch_size": WHOLE},
    ),
    "recipes.Recipe": (Recipe, lambda: {"epochs": 1}, RECIPE),
    "recipes.Recipe.as_trained": (
        Recipe(1, binarization="sample").as_trained,
        lambda: {"images": rand(4, 6)},
        {"images": [None, rand(4, 6).byte(), rand(0, 6), *BAD_PIXELS]},
    ),
    "guards.pick_device": (
        guards.pick_device,
        lambda: {"name": "cpu"},
        {"name": DEVICES},
    ),
    "training.set_seed": (
        training.set_seed,
        lambda: {"seed": 0},
        {"seed": [*NO_NUMBER, 1.5, 2.0, 2**64, -(2**63) - 1, np.float32(1)]},
    ),
    "training.train": (
        training.train,
        lambda: {"model": VAE(CONFIG), "images": rand(4, 6), **TRAINED},
        RECIPE
        | {
            "model": NO_MODEL + SHORT + MIXED,
            "images": IMAGES + OTHER_TYPE,
            "recipe": [{"epochs": 1}, "fast", 3, Recipe],
            "labels": LABELS_OF_FOUR,
            "validation": [*IMAGES[1:], *OTHER_TYPE, (), (rand(4, 6),)]
            + [(rand(4, 6), torch.zeros(4).long())],
            "device": DEVICES,
            "generator": OTHER_GENERATOR,
            "progress": SWITCH,
            "step": NO_NAME,
            "resume": SWITCH,
            "save": [3, "path", {}],
        },
    ),
}
OPTIONS = [(name, option) for name, row in TABLE.items() for option in row[2]]


def test_the_table_holds_every_public_function_and_every_option():
    found = {
        name: getattr(value, "__func__", value)  # of a class method
        for name, value in public_objects().items()
        if name.split(".")[0] in MODULES and name not in PARTS
    }
    assert found.keys() == TABLE.keys()
    for name, value in found.items():
        options = inspect.signature(value).parameters.keys() - {"self", "cls"}
        if "changes" in options:  # fields of a Recipe
            of_recipe = inspect.signature(Recipe).parameters.keys()
            options = options - {"changes"} | of_recipe
        handed_on = HANDED_ON if name.startswith("steps.") else set()
        assert options - handed_on == TABLE[name][2].keys(), name
    assert all(odd for row in TABLE.values() for odd in row[2].values())


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row[1]])
def test_the_sound_calls_are_taken(name):
    function, sound, _ = TABLE[name]
    function(**sound())


@pytest.mark.parametrize("name, option", OPTIONS)
def test_what_lies_outside_of_a_domain_is_refused_in_one_line(name, option):
    function, sound, odd = TABLE[name]
    for value in odd[option]:
        given = (sound() if sound else {}) | {
            option: value() if inspect.isfunction(value) else value
        }
        try:
            function(**given)
        except ValueError as error:
            said = str(error)
        else:
            said = "nothing"
        one_line = "\n" not in said and len(said) < 400
        assert one_line and "expected " in said and "got " in said, (value, said)


MISFITS = {
    "free bits of a bound without KL": (
        lambda: Recipe(epochs=1, objective="iwae", free_bits=0.5),
        "expected free_bits = 0 with the objective 'iwae', got 0.5",
    ),
    "free bits of an auto-encoder": (
        lambda: trained(AutoEncoder(CONFIG), free_bits=0.5),
        "expected free_bits = 0.0 with AutoEncoder, which draws no z, got 0.5",
    ),
    "free bits where a KL is sampled": (
        lambda: trained(VAE(replace(CONFIG, prior="mixture")), free_bits=0.5),
        "expected the prior 'standard' for free bits, got 'Mixture'",
    ),
    "bits of strings": (
        lambda: train_strings(binarization="sample"),
        "expected finite float images of shape (N, 3), N >= 1, got",
    ),
    "properties where there is no head": (
        lambda: train_strings(labels=rand(4, 2)),
        "expected no properties, for this model has no head, got",
    ),
    "a window without a decoder that has one": (
        lambda: SequenceConfig(window=5),
        "expected decoder 'window' for window, got 'gru'",
    ),
    "noise of pixels that have none": (
        lambda: VAEConfig(noise_std=0.3),
        "expected likelihood 'gaussian' for noise_std, got 'bernoulli'",
    ),
    "noise to learn of such pixels": (
        lambda: VAEConfig(likelihood="continuous_bernoulli", learn_noise=True),
        "got 'continuous_bernoulli'",
    ),
    "a weight of a bound without KL": (
        lambda: Recipe(epochs=1, objective="iwae", beta=0.5),
        "expected beta = 1 with the objective 'iwae', got 0.5",
    ),
    "the same in a step": (
        lambda: steps.take_step(**step_of(VAE(CONFIG)), objective="iwae", beta=0.5),
        "got beta = 0.5 and free_bits = 0.0 with 'iwae'",
    ),
    "a weight of an auto-encoder's KL": (
        lambda: trained(AutoEncoder(CONFIG), beta=2.0),
        "expected beta = 1.0 with AutoEncoder, which draws no z, got 2.0",
    ),
    "weights of an auto-encoder": (
        lambda: trained(AutoEncoder(CONFIG), objective="iwae"),
        "expected objective = 'elbo' with AutoEncoder, which draws no z, got 'iwae'",
    ),
    "draws of an auto-encoder": (
        lambda: trained(AutoEncoder(CONFIG), n_samples=5),
        "expected n_samples = 1 with AutoEncoder, which draws no z, got 5",
    ),
    "log p(x) of an auto-encoder": (
        lambda: evaluation.log_likelihood(AutoEncoder(CONFIG), rand(4, 6), n_samples=2),
        "expected a model with a prior, and so with a log p(x), got 'AutoEncoder'",
    ),
    "a count beside the noise": (
        lambda: distributions.reparameterize(
            rand(3, 2), rand(3, 2), eps=rand(5, 3, 2), n_samples=4
        ),
        "for mu, got mu (3, 2), n_samples 4, eps (5, 3, 2)",
    ),
    "a count without its axis": (
        lambda: VAE(CONFIG)(rand(4, 6), eps=rand(4, 2), n_samples=4),
        "for mu, got mu (4, 2), n_samples 4, eps (4, 2)",
    ),
    "a source beside the noise": (
        lambda: VAE(CONFIG)(rand(4, 6), eps=rand(4, 2), generator=torch.Generator()),
        "expected eps or a generator, got both",
    ),
    "a source of nothing": (
        lambda: data.binarize(rand(4, 6), generator=torch.Generator()),
        "expected no generator for 'threshold'",
    ),
    "errors for no curve": (
        lambda: plots.plot_curves(**CURVES, **LABELS, errors={"b": torch.ones(3)}),
        "expected errors by the names of curves, a, got",
    ),
    "a logarithm of zero": (
        lambda: plots.plot_curves([0, 1], {"a": [1.0, 1.0]}, **LABELS, log="x"),
        "> 0 on a logarithmic axis, got 0.0",
    ),
    "a logarithm of less": (
        lambda: plots.plot_curves([1, 2], {"a": [1.0, -1.0]}, **LABELS, log="xy"),
        "> 0 on a logarithmic axis, got -1.0",
    ),
    "more curves than colours": (
        lambda: plots.plot_curves(
            [1, 2], {f"{n}": [1.0, 1.0] for n in range(11)}, **LABELS
        ),
        "expected a dict of 1 to 10 curves by their names",
    ),
    "more labels than colours": (
        lambda: plots.plot_latent(rand(30, 2), torch.arange(30)),
        "expected at most 10 different labels, got 30",
    ),
    "colour pictures": (
        lambda: plots.plot_images(rand(10, 2352)),
        "expected images (n, 784) of shape (1, 28, 28), got Tensor of shape"
        " (10, 2352), torch.float32",
    ),
    "a scale that is not declared": (
        lambda: symbolic.gaussian_log_density(X, MU, sympy.Symbol("s")),
        "expected sigma declared positive, got s",
    ),
}


def train_strings(**options):
    given = dict(epochs=1, device="cpu", progress=False) | options
    return training.train(sequences.SequenceVAE(STRINGS), ROWS, **given)


def trained(model: VAE, images: Tensor | None = None, **options) -> VAE:
    images = rand(8, 6) if images is None else images
    training.train(model, images, **TRAINED | options)
    return model


@pytest.mark.parametrize("case", MISFITS)
def test_what_would_be_ignored_or_not_shown_is_refused(case, refuses):
    call, said = MISFITS[case]
    with refuses(ValueError, said):
        call()


NORMALISE, DIVIDE = "leave Normalize out", "divide by 255?"


@pytest.mark.parametrize(
    "images, said, unsaid",
    [
        (255 * rand(4, 6), DIVIDE, NORMALISE),
        ((rand(4, 6) - 0.1307) / 0.3081, NORMALISE, DIVIDE),
        (2 * rand(4, 6) - 1, NORMALISE, DIVIDE),
        (13 * rand(4, 6), NORMALISE, DIVIDE),
        (1.001 * torch.ones(4, 6), NORMALISE, DIVIDE),
        (65535 * rand(4, 6), "got", "("),
    ],
)
def test_the_hint_at_a_cause_fits_the_pixels(images, said, unsaid, refuses):
    with refuses(ValueError, "expected pixels in [0, 1]", said):
        trained(VAE(CONFIG), images)
    try:
        data.check_unit_interval(images)
    except ValueError as error:
        assert unsaid not in str(error).replace("(N", "")


def test_numbers_of_numpy_and_torch_become_pythons_own():
    widths = (np.array([4, 5]), torch.tensor([4, 5]), [np.int32(4), torch.tensor(5)])
    for hidden_dims in (*widths, range(4, 6)):
        config = VAEConfig(
            latent_dim=np.int64(3),
            hidden_dims=hidden_dims,
            activation=np.str_("tanh"),
            likelihood="gaussian",
            n_pixels=torch.tensor(6),
            noise_std=np.float32(0.5),
            learn_noise=np.bool_(True),
        )
        same = VAEConfig(3, (4, 5), "tanh", "gaussian", 6, 0.5, True)
        assert config == same and json.dumps(asdict(config)) == json.dumps(asdict(same))
    recipe = {"epochs": np.int64(3), "batch_size": torch.tensor(7), "beta": 2}
    recipe |= {"lr": np.float64(0.25), "clip_norm": np.float32(0.5), "warmup": 0}
    sound = asdict(Recipe(**recipe))
    json.dumps(sound)
    assert {name: sound[name] for name in recipe} == recipe
    assert {type(sound[name]) for name in recipe} == {int, float}
    model = trained(VAE(replace(CONFIG, n_pixels=6)), **recipe)
    assert len(model.history.rows) == 3
    json.dumps(model.history.rows)


def weights(model: VAE) -> Tensor:
    return parameters_to_vector(model.parameters()).detach().clone()


def test_a_layer_that_the_optimizer_does_not_know_is_refused(refuses):
    model = trained(VAE(CONFIG))
    model.decoder = nn.Sequential(nn.Linear(2, 6))
    before = weights(model)
    with refuses(
        ValueError, "expected the parameters trained so far", "history = None"
    ):
        trained(model)
    assert torch.equal(weights(model), before) and len(model.history.rows) == 1
    model.history = None
    assert not torch.equal(weights(trained(model)), before)


def test_a_model_goes_on_after_a_change_of_its_type():
    model, images = trained(VAE(CONFIG)).double(), rand(8, 6).double()
    before = weights(model)
    trained(model, images)
    moments = model.history.optimizer.state[model.encoder[0].weight]
    assert len(model.history.rows) == 2 and moments["exp_avg"].dtype == torch.float64
    assert not torch.equal(weights(model), before)


def test_frozen_parameters_stay_and_the_others_move(monkeypatch, refuses):
    compiled_steps = []

    def note(function, **options):
        def noted(*args, **rest):
            given = inspect.signature(function).bind(*args, **rest).arguments
            compiled_steps.append(len(given["named"]))
            return function(*args, **rest)

        return noted

    monkeypatch.setattr(torch, "compile", note)
    for options in ({}, {"clip_norm": 0.1}, {"step": "compiled", "clip_norm": 0.1}):
        model = VAE(CONFIG)
        if "step" in options:
            monkeypatch.setattr("shutil.which", lambda name: name)
        model.encoder.requires_grad_(False)
        fixed, free = weights(model.encoder), weights(model.decoder)
        trained(model, epochs=3, batch_size=4, **options)
        assert torch.equal(weights(model.encoder), fixed)
        assert not torch.equal(weights(model.decoder), free)
        model.encoder.requires_grad_(True)
        trained(model, epochs=3, batch_size=4, **options)
        assert not torch.equal(weights(model.encoder), fixed)
    assert compiled_steps == 5 * [4] + 5 * [8]  # without the first, without frozen ones
    model.requires_grad_(False)
    with refuses(ValueError, "expected a model with parameters that are trained"):
        trained(model)


def test_training_takes_gradients_whatever_the_mode_around_it(refuses):
    expected = VAE(CONFIG)
    start = expected.state_dict()
    start = {name: value.clone() for name, value in start.items()}
    generator = torch.Generator()
    trained(expected, generator=generator.manual_seed(0))
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        model = VAE(CONFIG)
        model.load_state_dict(start)
        with mode():
            trained(model, validation=rand(4, 6), generator=generator.manual_seed(0))
            before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        assert before == (mode is torch.enable_grad, mode is torch.inference_mode)
        assert torch.equal(weights(model), weights(expected))
    with torch.inference_mode():
        model, images = VAE(CONFIG), rand(8, 6)
    with refuses(ValueError, "expected a model made outside of torch.inference_mode"):
        trained(model)
    trained(VAE(CONFIG), images)


def test_a_model_under_autocast_is_trained_and_judged():
    with torch.autocast("cpu", torch.bfloat16):
        model = trained(VAE(CONFIG))
        assert math.isfinite(evaluation.evaluate_elbo(model, rand(8, 6)).elbo)
    assert model.input_mean.dtype == torch.float32


def test_figures_take_arrays_lists_and_tensors_with_a_gradient():
    z = rand(5, 2).requires_grad_()
    for codes in (z, z.double(), z.detach().numpy(), z.tolist()):
        for labels in (torch.arange(5), np.arange(5), [0, 1, 2, 3, 4]):
            axes = plots.plot_latent(codes, labels).axes[0]
            drawn = np.concatenate(
                [points.get_offsets() for points in axes.collections]
            )
            np.testing.assert_allclose(drawn, z.detach().numpy())
    plots.plot_latent(torch.zeros(2, 2), torch.zeros(2).bool())
    plots.plot_images(rand(2, 784).requires_grad_())
    plots.plot_images((rand(2, 784) > 0.5).byte())
    curve = z[:, 0]
    figure = plots.plot_curves(
        range(5), {"a": curve}, errors={"a": np.ones(5)}, **LABELS, log=""
    )
    drawn = [float(y) for y in figure.axes[0].containers[0].lines[0].get_ydata()]
    np.testing.assert_allclose(drawn, curve.detach().numpy())


def test_what_came_is_told_in_one_line():
    model = VAE(CONFIG)
    told = {
        "Tensor of shape (3, 2), torch.float32": rand(3, 2),
        "ndarray of shape (2,), float64": np.ones(2),
        "'a\\nb'": "a\nb",
        "0.5": 0.5,
        "None": None,
    }
    for words, value in told.items():
        assert described(value) == words
    for value in (model, [1.0] * 1000, {"images": rand(4, 6)}):
        assert "\n" not in described(value) and len(described(value)) <= 200
