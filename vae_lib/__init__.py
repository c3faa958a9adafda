"""vae_lib: the small library behind the book and its notebooks.

Read the modules in this order: distributions, objectives, models, data, evaluation,
training, checkpoints, plots. linear_gaussian is the exact model that tests hold the
estimators against.
"""

__version__ = "0.1.0"
