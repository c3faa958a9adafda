"""What the options of a training ask for: of a preset, or of the run that is there."""

import dataclasses
from pathlib import Path

from vae_lib.checkpoints import PRETRAINED, load, load_pretrained
from vae_lib.guards import require
from vae_lib.models import VAE, VAEConfig
from vae_lib.options import NETWORK, PRESET, RECIPE
from vae_lib.plans import plan_of


def asked(
    given: dict, path: Path, there: bool
) -> tuple[VAEConfig, dict, VAE | None, int]:
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
        recipe = recipe | {"epochs": own["recipe"]["epochs"]}
        if "preset" not in given:
            config, recipe, start = model.config, own["recipe"], None
    network = {name: given[name] for name in NETWORK if name in given}
    config = dataclasses.replace(config, **network)
    recipe = recipe | {name: given[name] for name in RECIPE if name in given}
    start = start and load_pretrained(start)
    return config, recipe, start, given.get("seed", seed)
