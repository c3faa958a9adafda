"""vae_lib: the small library behind the book and its notebooks.

Read the modules in this order: distributions, objectives, models, data, evaluation,
training, checkpoints, plots. linear_gaussian is the exact model that tests hold the
estimators against.
"""

import torch

# Adam's moments of rarely lit pixels decay into denormal numbers, slow on any CPU.
# Worker threads inherit this setting, so it precedes the first parallel operation.
torch.set_flush_denormal(True)

__version__ = "0.1.0"
