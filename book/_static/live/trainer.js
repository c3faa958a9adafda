/* A VAE that learns in the page: the formulas of the page "The gradient, written out", over typed arrays.

   const trainer = await live.load("trainer");
   model = trainer.create(shape, mean, n_images, seed)
       shape: {n_pixels: D, hidden: [H, ...], latent_dim: J, activation, likelihood: "bernoulli" or "gaussian",
       noise_std, learn_noise}; mean: of the training data, D numbers, from n_images of them. All weights stand in
       model.weights, one after the other, in the order of vae_lib: the noise's log variance if it is learned, then
       weight (out, in) and bias of each layer, encoder first.
   trainer.learn(model, x, eps, {lr, beta, objective: "elbo" or "iwae", mistake}) -> {loss, elbo, bound, log_p_x_given_z, kl}
       one step of Adam on x (B, D) with noise eps (K, B, J); kl has a mean for each dimension. model.gradient keeps the
       derivatives. mistake: a key of trainer.mistakes.  trainer.slopes(the same) only fills model.gradient
   trainer.judge(model, x, eps) -> {elbo, log_p_x_given_z, kl, mu, logvar}: one draw for each x; nothing learns
   trainer.encode(model, x) -> {mu, logvar};  trainer.decode(model, z) -> what is shown: probabilities or means
   trainer.evidence(model, x, {limit, n_nodes}) -> log p(x) of each x, for one latent dimension and the Gaussian likelihood
   trainer.density(model, xs, ys, {limit, n_nodes}) -> p(x) on that grid, row by row of ys, for such a model in the plane
   Averages are over examples, in nats. Sizes follow from the lengths of the arrays. */
(() => {
  const BOUND = 20, LOG_TWO_PI = Math.log(2 * Math.PI); // BOUND: LOGVAR_BOUND of vae_lib
  const sigmoid = a => 1 / (1 + Math.exp(-a));
  const softplus = a => Math.log1p(Math.exp(-Math.abs(a))) + Math.max(0, a);
  const activations = { // the function, and its slope where it makes h of a
    relu: [a => Math.max(0, a), (a, h) => Math.sign(h)],
    silu: [a => a * sigmoid(a), (a, h) => (a ? h / a * (1 + a - h) : 0.5)], // h / a is the sigmoid, without one more exp
    softplus: [softplus, a => sigmoid(a)],
    tanh: [Math.tanh, (a, h) => 1 - h * h],
  };
  const mistakes = { // what a step does otherwise: the KL's price of a batch of B, and sigma of log sigma^2
    none: {},
    "kl-averaged": { price: (beta, B) => beta / B },
    "kl-forgotten": { price: () => 0 },
    "std-for-variance": { half: 1 },
  };

  // Layers

  function create(shape, mean, n_images, seed) {
    const { n_pixels, hidden, latent_dim } = shape;
    const widths = [[n_pixels, ...hidden, 2 * latent_dim], [latent_dim, ...[...hidden].reverse(), n_pixels]];
    const sizes = widths.map(all => all.slice(1).map((n, i) => [all[i], n]));
    const n = sizes.flat().reduce((sum, [a, b]) => sum + (a + 1) * b, shape.learn_noise ? 1 : 0);
    const model = { shape, mean: Float32Array.from(mean), steps: 0 };
    for (const key of ["weights", "gradient", "first", "second"]) model[key] = new Float32Array(n); // the last two: Adam's
    let at = shape.learn_noise ? 1 : 0;
    const part = count => ["weights", "gradient"].map(key => model[key].subarray(at, at + count));
    const layer = ([n_in, n_out]) => {
      const [weight, by_weight] = part(n_in * n_out);
      at += n_in * n_out;
      const [bias, by_bias] = part(n_out);
      at += n_out;
      return { n_in, n_out, weight, by_weight, bias, by_bias };
    };
    [model.encoder, model.decoder] = sizes.map(all => all.map(layer));
    const next = live.random(seed);
    for (const { n_in, weight, bias } of [...model.encoder, ...model.decoder]) { // as torch begins
      for (const values of [weight, bias]) for (let i = 0; i < values.length; i++) values[i] = (2 * next() - 1) / Math.sqrt(n_in);
    }
    const start = m => { const p = (m * n_images + 1) / (n_images + 2); return Math.log(p / (1 - p)); };
    model.decoder.at(-1).bias.set(model.mean.map(m => (shape.likelihood === "bernoulli" ? start(m) : m)));
    if (shape.learn_noise) model.weights[0] = 2 * Math.log(shape.noise_std);
    return model;
  }

  // Rows of a times rows of b, both n long: each sum of products that the formulas ask for, added to one number of `start` for
  // each row of b. Eight sums at a time, so that no number is fetched for one product alone; beyond the last row it is taken again.
  function product(a, b, n, start, y = new Float32Array(a.length / n * (b.length / n))) {
    const rows = a.length / n, columns = b.length / n;
    for (let i = 0; i < rows; i += 4) {
      const i1 = Math.min(i + 1, rows - 1), i2 = Math.min(i + 2, rows - 1), i3 = Math.min(i + 3, rows - 1);
      for (let o = 0; o < columns; o += 2) {
        const o1 = Math.min(o + 1, columns - 1);
        let p = start ? start[o] : 0, q = p, r = p, s = p, t = start ? start[o1] : 0, u = t, v = t, w = t;
        let k = i * n, k1 = i1 * n, k2 = i2 * n, k3 = i3 * n, m = o * n, m1 = o1 * n;
        for (const end = k + n; k < end; k++, k1++, k2++, k3++, m++, m1++) {
          const c = b[m], d = b[m1], e = a[k], f = a[k1], g = a[k2], h = a[k3];
          p += c * e;
          q += c * f;
          r += c * g;
          s += c * h;
          t += d * e;
          u += d * f;
          v += d * g;
          w += d * h;
        }
        y[i * columns + o] = p;
        y[i1 * columns + o] = q;
        y[i2 * columns + o] = r;
        y[i3 * columns + o] = s;
        y[i * columns + o1] = t;
        y[i1 * columns + o1] = u;
        y[i2 * columns + o1] = v;
        y[i3 * columns + o1] = w;
      }
    }
    return y;
  }

  function transposed(x, n) { // (rows, n) to (n, rows)
    const rows = x.length / n, y = new Float32Array(x.length);
    for (let i = 0, k = 0; i < rows; i++) for (let j = 0; j < n; j++, k++) y[j * rows + i] = x[k];
    return y;
  }

  function forward(layers, activation, x) { // inputs and outputs of every layer: eq-layer-gradient needs them
    const [f] = activations[activation], inputs = [x], outputs = [];
    for (const layer of layers) {
      if (outputs.length) inputs.push(outputs.at(-1).map(f));
      outputs.push(product(inputs.at(-1), layer.weight, layer.n_in, layer.bias));
    }
    return { inputs, outputs, last: outputs.at(-1) };
  }

  function backward(layers, activation, { inputs, outputs }, g, toInput) { // eq-layer-gradient
    const slope = activations[activation][1];
    for (let l = layers.length - 1; l >= 0; l--) {
      const { n_in, n_out, weight, by_weight, by_bias } = layers[l], x = inputs[l], rows = x.length / n_in;
      product(transposed(g, n_out), transposed(x, n_in), rows, null, by_weight);
      by_bias.fill(0);
      for (let i = 0; i < g.length; i += n_out) for (let o = 0; o < n_out; o++) by_bias[o] += g[i + o];
      if (l > 0 || toInput) g = product(g, transposed(weight, n_in), n_out);
      if (l > 0) for (let i = 0; i < g.length; i++) g[i] *= slope(outputs[l - 1][i], x[i]);
    }
    return g;
  }

  // The bound and its derivatives

  function centred({ mean, shape }, x) {
    return x.map((value, i) => value - mean[i % shape.n_pixels]);
  }

  function split(raw, J) { // the encoder's last numbers: mu, then r, of which log sigma^2 = 20 tanh(r / 20)
    const n = raw.length / 2, mu = new Float32Array(n), logvar = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const at = Math.floor(i / J) * 2 * J + i % J;
      mu[i] = raw[at];
      logvar[i] = BOUND * Math.tanh(raw[at + J] / BOUND);
    }
    return { mu, logvar };
  }

  const noiseLogvar = ({ shape, weights }) => (shape.learn_noise ? weights[0] : 2 * Math.log(shape.noise_std));

  function likelihood(model, x, params) { // log p(x|z) of each row of params, and the mean minus x; x repeats after its last row
    const { n_pixels: D, likelihood: kind } = model.shape, rows = new Float64Array(params.length / D), error = new Float32Array(params.length);
    const logvar = noiseLogvar(model), variance = Math.exp(logvar);
    for (let i = 0, k = 0; i < rows.length; i++) {
      let total = 0, ones = 1; // ones: the product of 1 + exp(-|a|), of which one logarithm is taken instead of D
      for (let j = 0, m = i * D % x.length; j < D; j++, k++, m++) {
        const a = params[k], pixel = x[m];
        if (kind === "bernoulli") {
          const small = Math.exp(-Math.abs(a));
          total += pixel * a - Math.max(0, a);
          ones *= 1 + small;
          error[k] = (a > 0 ? 1 : small) / (1 + small) - pixel;
          if (ones > 1e250) [total, ones] = [total - Math.log(ones), 1];
        } else {
          error[k] = a - pixel;
          total -= ((pixel - a) ** 2 / variance + logvar + LOG_TWO_PI) / 2;
        }
      }
      rows[i] = total - Math.log(ones);
    }
    return { log_p_x_given_z: rows, error };
  }

  function pass(model, x, eps, half = 0.5) { // all that a step needs, from x to log p(x|z)
    const { shape } = model, J = shape.latent_dim;
    const encoder = forward(model.encoder, shape.activation, centred(model, x)), { mu, logvar } = split(encoder.last, J);
    const std = logvar.map(v => Math.exp(half * v)), n = mu.length;
    const z = eps.map((e, i) => mu[i % n] + std[i % n] * e);
    const decoder = forward(model.decoder, shape.activation, z);
    const kl = mu.map((m, i) => (m * m + Math.exp(logvar[i]) - 1 - logvar[i]) / 2); // (B, J)
    return { encoder, mu, logvar, std, z, decoder, kl, ...likelihood(model, x, decoder.last) };
  }

  const sum = values => values.reduce((a, b) => a + b, 0);
  const means = (values, J) => Array.from({ length: J }, (_, j) => sum(values.filter((_, i) => i % J === j)) * J / values.length);

  function logWeights({ z, logvar, kl, log_p_x_given_z }, eps, J) { // eq-importance-weights
    return log_p_x_given_z.map((value, row) => {
      for (let j = 0; j < J; j++) {
        const i = row * J + j;
        value -= (z[i] ** 2 - eps[i] ** 2 - logvar[i % kl.length]) / 2;
      }
      return value;
    });
  }

  function bounds(logW, B) { // log of the mean weight of each x, and each draw's share in it
    const K = logW.length / B, bound = new Float64Array(B), share = new Float64Array(logW.length);
    for (let b = 0; b < B; b++) {
      let most = -Infinity, total = 0;
      for (let i = b; i < logW.length; i += B) most = Math.max(most, logW[i]);
      for (let i = b; i < logW.length; i += B) total += share[i] = Math.exp(logW[i] - most);
      for (let i = b; i < logW.length; i += B) share[i] /= total;
      bound[b] = most + Math.log(total / K);
    }
    return { bound, share };
  }

  function slopes(model, x, eps, { beta = 1, objective = "elbo", mistake = "none" } = {}) {
    const { shape } = model, { latent_dim: J, n_pixels: D } = shape, B = x.length / D, rows = eps.length / J;
    const { half = 0.5, price = b => b } = mistakes[mistake], paid = price(beta, B);
    const found = pass(model, x, eps, half), { mu, logvar, std, z, kl, log_p_x_given_z } = found;
    const weighted = objective === "iwae" && bounds(logWeights(found, eps, J), B);
    const by = row => (weighted ? weighted.share[row] : B / rows) / B; // how much log p(x|z) of this draw counts
    const variance = Math.exp(noiseLogvar(model)), g = found.error;
    let byNoise = 0;
    for (let row = 0, k = 0; row < rows; row++) { // eq-output-gradient
      const part = by(row), scale = shape.likelihood === "bernoulli" ? part : part / variance;
      for (let j = 0; j < D; j++, k++) {
        if (shape.learn_noise) byNoise += part * (1 - g[k] ** 2 / variance) / 2;
        g[k] *= scale;
      }
    }
    if (shape.learn_noise) model.gradient[0] = byNoise;
    const byZ = backward(model.decoder, shape.activation, found.decoder, g, true);
    const byRaw = new Float32Array(2 * B * J);
    for (let i = 0; i < B * J; i++) { // eq-code-gradient, eq-weighted-gradient
      let byMu = weighted ? 0 : paid * mu[i] / B, byLogvar = weighted ? -1 / (2 * B) : paid * (Math.exp(logvar[i]) - 1) / (2 * B);
      for (let k = i; k < byZ.length; k += B * J) {
        const d = byZ[k] + (weighted ? by(Math.floor(k / J)) * z[k] : 0);
        byMu += d;
        byLogvar += d * eps[k] * half * std[i];
      }
      const at = Math.floor(i / J) * 2 * J + i % J;
      byRaw[at] = byMu;
      byRaw[at + J] = byLogvar * (1 - (logvar[i] / BOUND) ** 2);
    }
    backward(model.encoder, shape.activation, found.encoder, byRaw, false);
    const fit = sum(log_p_x_given_z) / rows, total = sum(kl) / B;
    const bound = weighted ? sum(weighted.bound) / B : fit - paid * total;
    return { loss: -bound, bound, elbo: fit - total, log_p_x_given_z: fit, kl: means(kl, J) };
  }

  function learn(model, x, eps, { lr, ...options }) { // Adam, as torch has it
    const found = slopes(model, x, eps, options), { weights, gradient, first, second } = model;
    const t = ++model.steps, size = lr / (1 - 0.9 ** t), scale = Math.sqrt(1 - 0.999 ** t);
    for (let i = 0; i < weights.length; i++) {
      const d = gradient[i];
      first[i] += 0.1 * (d - first[i]);
      second[i] += 0.001 * (d * d - second[i]);
      weights[i] -= size * first[i] / (Math.sqrt(second[i]) / scale + 1e-8);
    }
    return found;
  }

  function judge(model, x, eps) {
    const { mu, logvar, kl, log_p_x_given_z } = pass(model, x, eps), n = log_p_x_given_z.length, fit = sum(log_p_x_given_z) / n;
    return { elbo: fit - sum(kl) / n, log_p_x_given_z: fit, kl: means(kl, model.shape.latent_dim), mu, logvar };
  }

  const encode = (model, x) => split(forward(model.encoder, model.shape.activation, centred(model, x)).last, model.shape.latent_dim);

  function decode(model, z) {
    const { last } = forward(model.decoder, model.shape.activation, z);
    return model.shape.likelihood === "bernoulli" ? last.map(sigmoid) : last;
  }

  // One latent dimension: p(x) is a mean over the line, taken on even nodes

  function nodes(model, limit, n_nodes) {
    const z = Float32Array.from({ length: n_nodes }, (_, i) => limit * (2 * i / (n_nodes - 1) - 1));
    const width = 2 * limit / (n_nodes - 1), share = Float64Array.from(z, v => width * live.gaussian(v, 0, 1));
    return { f: decode(model, z), share };
  }

  function evidence(model, x, { limit = 6, n_nodes = 1201 } = {}) {
    const { f, share } = nodes(model, limit, n_nodes), D = model.shape.n_pixels, logvar = noiseLogvar(model);
    const constant = -D * (LOG_TWO_PI + logvar) / 2, scale = -Math.exp(-logvar) / 2;
    const distance = (i, k) => { // squared, between example i and the decoder's mean at node k
      let d = 0;
      for (let j = 0; j < D; j++) d += (x[i * D + j] - f[k * D + j]) ** 2;
      return d;
    };
    return Float64Array.from({ length: x.length / D }, (_, i) => {
      let least = Infinity, total = 0;
      for (let k = 0; k < n_nodes; k++) least = Math.min(least, distance(i, k));
      for (let k = 0; k < n_nodes; k++) total += share[k] * Math.exp(scale * (distance(i, k) - least));
      return constant + scale * least + Math.log(total);
    });
  }

  function density(model, xs, ys, { limit = 6, n_nodes = 401 } = {}) { // a product of one factor for x and one for y
    const { f, share } = nodes(model, limit, n_nodes), sigma = Math.exp(noiseLogvar(model) / 2);
    const factors = (values, j) => Float32Array.from({ length: values.length * n_nodes }, (_, i) => (
      live.gaussian(values[Math.floor(i / n_nodes)], f[2 * (i % n_nodes) + j], sigma)));
    const across = factors(xs, 0), up = factors(ys, 1).map((v, i) => v * share[i % n_nodes]);
    return product(up, across, n_nodes);
  }

  live.provide("trainer", { create, learn, slopes, judge, encode, decode, evidence, density, mistakes: Object.keys(mistakes) });
})();
