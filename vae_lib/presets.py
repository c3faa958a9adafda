"""What the options of a training ask for: of a preset, or of the run that is there."""

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from vae_lib import recipes
from vae_lib.checkpoints import PRETRAINED, load, load_pretrained
from vae_lib.data import SHAPE
from vae_lib.data_sets import MNIST, DataSet, find_data_set
from vae_lib.guards import require
from vae_lib.models import NETWORKS, VAE, VAEConfig
from vae_lib.options import NETWORK, PRESET, RECIPE
from vae_lib.plans import plan_of
from vae_lib.recipes import Recipe
from vae_lib.sources import source_of


class Asked(NamedTuple):
    """The arguments of a run."""

    data: DataSet
    source: str  # the data set's name, or the path of the user's own
    config: VAEConfig
    recipe: Recipe
    start: VAE | None
    seed: int


def asked(given: dict, path: Path, there: bool) -> Asked:
    """What these options ask for.

    What is not given is the preset's, or that of the run which is there.
    """
    preset = PRETRAINED[given.get("preset", PRESET)]
    config, recipe, start, seed = preset.config, preset.recipe, preset.start, 0
    source = given.get("data", MNIST)
    if there:
        own = plan_of(path, there_now := load(path))
        seed, source = own["seed"], given.get("data", source_of(own["data"]))
        wanted = given.get("seed", seed)
        require(wanted == seed, f"a run with seed = {wanted}", f"seed = {seed}")
        own_recipe = recipes.from_file(own["recipe"])
        recipe = replace(recipe, epochs=own_recipe.epochs)
        if "preset" not in given:
            config, recipe, start = there_now.config, own_recipe, None
    data = find_data_set(source)
    network = {name: given[name] for name in NETWORK if name in given}
    kind = NETWORKS[network.get("network", config.network)]
    told = kind.needs_shape or data.shape != SHAPE
    network["shape"] = data.shape if told else None
    config = replace(config, n_pixels=math.prod(data.shape), **network)
    recipe = replace(recipe, **{k: given[k] for k in RECIPE if k in given})
    model = load_pretrained(start) if start else None
    return Asked(data, source, config, recipe, model, given.get("seed", seed))
