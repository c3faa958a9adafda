"""The benchmark's task in JAX: a whole epoch as one compiled function, as its users do.

Needs `pip install jax`, which nothing else here does. Same network, loss and Adam, and
weights that begin in the same range; the random numbers are JAX's own.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

BETAS, EPS, LR = (0.9, 0.999), 1e-8, 1e-3


def new_weights(key, widths) -> list[tuple]:
    """Weights (n_in, n_out) and biases, uniform as torch's linear layers begin."""
    found = []
    for n_in, n_out in widths:
        key, one, other = jax.random.split(key, 3)
        limit = 1 / math.sqrt(n_in)
        shapes = ((one, (n_in, n_out)), (other, (n_out,)))
        found.append(
            tuple(
                jax.random.uniform(k, s, minval=-limit, maxval=limit) for k, s in shapes
            )
        )
    return found


def loss(weights, x, eps):
    """Minus the mean ELBO of a batch (B, D) with noise (B, J)."""
    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = weights
    mu, raw = jnp.split(jax.nn.relu(x @ w1 + b1) @ w2 + b2, 2, axis=1)
    logvar = 20 * jnp.tanh(raw / 20)
    z = mu + jnp.exp(logvar / 2) * eps
    logits = jax.nn.relu(z @ w3 + b3) @ w4 + b4
    log_p = (x * logits - jax.nn.softplus(logits)).sum(1)
    kl = (mu**2 + jnp.exp(logvar) - 1 - logvar).sum(1) / 2
    return (kl - log_p).mean()


def take_step(state, batch):
    """One step of Adam; the state is weights, both moments and the steps so far."""
    weights, mean, square, n = state
    value, grads = jax.value_and_grad(loss)(weights, *batch)
    n, (b1, b2) = n + 1, BETAS
    tree = jax.tree.map
    mean = tree(lambda m, g: b1 * m + (1 - b1) * g, mean, grads)
    square = tree(lambda v, g: b2 * v + (1 - b2) * g * g, square, grads)
    sizes = 1 - b1**n, 1 - b2**n

    def moved(w, m, v):
        return w - LR * (m / sizes[0]) / (jnp.sqrt(v / sizes[1]) + EPS)

    return (tree(moved, weights, mean, square), mean, square, n), value


class Jax:
    """An epoch on images (N, D) at each call; the first one compiles it."""

    def __init__(self, images, task: dict[str, int]):
        self.images = jnp.asarray(np.asarray(images[: task["images"]]))
        width, latent_dim, size = task["width"], task["latent_dim"], task["batch_size"]
        n, d = self.images.shape
        widths = ((d, width), (width, 2 * latent_dim), (latent_dim, width), (width, d))
        weights = new_weights(jax.random.key(0), widths)
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self.state = weights, zeros, zeros, jnp.zeros(())
        self.key, whole = jax.random.key(1), n - n % size

        def epoch(state, images, key):
            one, other = jax.random.split(key)
            order = jax.random.permutation(one, n)
            eps = jax.random.normal(other, (n, latent_dim))

            def step(state, at):
                index, noise = at
                return take_step(state, (images[index], noise))

            parts = (
                order[:whole].reshape(-1, size),
                eps[:whole].reshape(-1, size, latent_dim),
            )
            state, values = jax.lax.scan(step, state, parts)
            total = values.sum() * size
            if whole < n:
                state, value = step(state, (order[whole:], eps[whole:]))
                total += value * (n - whole)
            return state, total / n

        self.epoch = jax.jit(epoch)

    def __call__(self) -> float:
        self.key, key = jax.random.split(self.key)
        self.state, value = self.epoch(self.state, self.images, key)
        return -float(value)
