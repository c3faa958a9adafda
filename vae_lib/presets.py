"""What the options of a training ask for: of a preset, or of the run that is there."""

from dataclasses import replace
from pathlib import Path

from vae_lib import recipes
from vae_lib.checkpoints import PRETRAINED, load, load_pretrained
from vae_lib.data import SHAPE
from vae_lib.guards import require
from vae_lib.models import NETWORKS, VAE, VAEConfig
from vae_lib.options import NETWORK, PRESET, RECIPE
from vae_lib.plans import plan_of
from vae_lib.recipes import Recipe


def asked(
    given: dict, path: Path, there: bool
) -> tuple[VAEConfig, Recipe, VAE | None, int]:
    """The configuration, recipe, start and seed that these options ask for.

    What is not given is the preset's, or that of the run which is there.
    """
    preset = PRETRAINED[given.get("preset", PRESET)]
    config, recipe, start, seed = preset.config, preset.recipe, preset.start, 0
    if there:
        own = plan_of(path, model := load(path))
        seed = own["seed"]
        wanted = given.get("seed", seed)
        require(wanted == seed, f"a run with seed = {wanted}", f"seed = {seed}")
        own_recipe = recipes.from_file(own["recipe"])
        recipe = replace(recipe, epochs=own_recipe.epochs)
        if "preset" not in given:
            config, recipe, start = model.config, own_recipe, None
    network = {name: given[name] for name in NETWORK if name in given}
    kind = NETWORKS[network.get("network", config.network)]
    network["shape"] = SHAPE if "shape" in kind.options else None
    config = replace(config, **network)
    recipe = replace(recipe, **{k: given[k] for k in RECIPE if k in given})
    start = start and load_pretrained(start)
    return config, recipe, start, given.get("seed", seed)
