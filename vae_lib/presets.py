"""What the options of a training ask for: of a preset, or of the run that is there."""

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from vae_lib import recipes
from vae_lib.checkpoints import PRETRAINED, load, load_pretrained
from vae_lib.configs import SequenceConfig, VAEConfig
from vae_lib.data import SHAPE
from vae_lib.data_sets import MNIST, DataSet, find_data_set, usual_for
from vae_lib.guards import require
from vae_lib.latent import LatentVariableModel
from vae_lib.networks import NETWORKS
from vae_lib.options import NETWORK, RECIPE, as_option
from vae_lib.plans import plan_of
from vae_lib.recipes import Recipe
from vae_lib.sources import source_of


class Asked(NamedTuple):
    """The arguments of a run."""

    data: DataSet
    source: str  # the data set's name, or the path of the user's own
    config: Any
    recipe: Recipe
    start: LatentVariableModel | None
    seed: int


def asked(given: dict, path: Path, there: bool) -> Asked:
    """What these options ask for.

    What is not given is the preset's, or that of the run which is there.
    """
    seed, there_now, source = 0, None, MNIST
    if "preset" in given:
        source = usual_for(PRETRAINED[given["preset"]].config)
    if there:
        own = plan_of(path, there_now := load(path))
        seed, source = own["seed"], source_of(own["data"])
    source = given.get("data", source)
    data = find_data_set(source)
    preset = PRETRAINED[given.get("preset", data.preset)]
    config, recipe, start = preset.config, preset.recipe, preset.start
    if there_now is not None:
        wanted = given.get("seed", seed)
        require(wanted == seed, f"a run with seed = {wanted}", f"seed = {seed}")
        own_recipe = recipes.from_file(own["recipe"])
        recipe = replace(recipe, epochs=own_recipe.epochs)
        if "preset" not in given:
            config, recipe, start = there_now.config, own_recipe, None
    classes = " or ".join(kind.__name__ for kind in data.config_classes)
    expected = f"a preset or a run of {classes} for {source}"
    fits = isinstance(config, data.config_classes)
    require(fits, expected, type(config).__name__)
    network = {name: given[name] for name in NETWORK if name in given}
    config = fitted(config, data, network)
    recipe = replace(recipe, **{k: given[k] for k in RECIPE if k in given})
    model = load_pretrained(start) if start else None
    return Asked(data, source, config, recipe, model, given.get("seed", seed))


def fitted(config: Any, data: DataSet, network: dict) -> Any:
    """The configuration with what is asked of the network, for examples of this set."""
    known = {field.name for field in fields(config)}
    for name in network:
        named = [*map(as_option, known & NETWORK.keys())]
        require(
            name in known, f"options among {', '.join(sorted(named))}", as_option(name)
        )
    if isinstance(config, SequenceConfig):
        config = replace(config, length=data.shape[0], **network)
        n_known = len(data.properties)
        few = f"n_properties <= {n_known}, of {', '.join(data.properties)}"
        require(config.n_properties <= n_known, few, config.n_properties)
        return config
    told = data.shape != SHAPE
    if isinstance(config, VAEConfig):
        told = told or NETWORKS[network.get("network", config.network)].needs_shape
    network = network | {"shape": data.shape if told else None}
    return replace(config, n_pixels=math.prod(data.shape), **network)
