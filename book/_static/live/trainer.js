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
    silu: [a => a * sigmoid(a), (a, h) => sigmoid(a) * (1 + a - h)],
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

  // Four rows at a time, so that the processor need not wait for one sum; after the last row it is taken again.
  const four = (i, rows, width) => [0, 1, 2, 3].map(r => Math.min(i + r, rows - 1) * width);

  function affine({ n_in, n_out, weight, bias }, x) {
    const rows = x.length / n_in, y = new Float32Array(rows * n_out);
    for (let i = 0; i < rows; i += 4) {
      const [a, b, c, d] = four(i, rows, n_in), [s, t, u, v] = four(i, rows, n_out);
      for (let o = 0, k = 0; o < n_out; o++, k += n_in) {
        let p = bias[o], q = p, r = p, h = p;
        for (let j = 0; j < n_in; j++) {
          const w = weight[k + j];
          p += w * x[a + j];
          q += w * x[b + j];
          r += w * x[c + j];
          h += w * x[d + j];
        }
        y[s + o] = p;
        y[t + o] = q;
        y[u + o] = r;
        y[v + o] = h;
      }
    }
    return y;
  }

  function forward(layers, activation, x) { // inputs and outputs of every layer: eq-layer-gradient needs them
    const [f] = activations[activation], inputs = [x], outputs = [];
    for (const layer of layers) {
      if (outputs.length) inputs.push(outputs.at(-1).map(f));
      outputs.push(affine(layer, inputs.at(-1)));
    }
    return { inputs, outputs, last: outputs.at(-1) };
  }

  function backward(layers, activation, { inputs, outputs }, g, toInput) { // eq-layer-gradient
    const slope = activations[activation][1];
    for (let l = layers.length - 1; l >= 0; l--) {
      const { n_in, n_out, weight, by_weight, by_bias } = layers[l], x = inputs[l], rows = x.length / n_in;
      const back = l > 0 || toInput ? new Float32Array(x.length) : null;
      by_weight.fill(0);
      by_bias.fill(0);
      for (let i = 0; i < rows; i += 4) {
        const [a, b, c, d] = four(i, rows, n_in);
        for (let o = 0, k = 0; o < n_out; o++, k += n_in) {
          const m = i * n_out + o, p = g[m], q = i + 1 < rows ? g[m + n_out] : 0, r = i + 2 < rows ? g[m + 2 * n_out] : 0;
          const h = i + 3 < rows ? g[m + 3 * n_out] : 0;
          by_bias[o] += p + q + r + h;
          for (let j = 0; j < n_in; j++) by_weight[k + j] += p * x[a + j] + q * x[b + j] + r * x[c + j] + h * x[d + j];
          if (!back) continue;
          for (let j = 0; j < n_in; j++) {
            const w = weight[k + j];
            back[a + j] += p * w;
            back[b + j] += q * w;
            back[c + j] += r * w;
            back[d + j] += h * w;
          }
        }
      }
      g = back;
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

  function likelihood(model, x, params) { // log p(x|z) of each row of params; x repeats after its last row
    const { n_pixels: D, likelihood: kind } = model.shape, rows = new Float64Array(params.length / D);
    const logvar = noiseLogvar(model), variance = Math.exp(logvar);
    for (let i = 0, k = 0; i < rows.length; i++) {
      for (let j = 0; j < D; j++, k++) {
        const a = params[k], pixel = x[k % x.length];
        rows[i] += kind === "bernoulli" ? pixel * a - softplus(a) : -((pixel - a) ** 2 / variance + logvar + LOG_TWO_PI) / 2;
      }
    }
    return rows;
  }

  function pass(model, x, eps, half = 0.5) { // all that a step needs, from x to log p(x|z)
    const { shape } = model, J = shape.latent_dim;
    const encoder = forward(model.encoder, shape.activation, centred(model, x)), { mu, logvar } = split(encoder.last, J);
    const std = logvar.map(v => Math.exp(half * v)), n = mu.length;
    const z = eps.map((e, i) => mu[i % n] + std[i % n] * e);
    const decoder = forward(model.decoder, shape.activation, z);
    const kl = mu.map((m, i) => (m * m + Math.exp(logvar[i]) - 1 - logvar[i]) / 2); // (B, J)
    return { encoder, mu, logvar, std, z, decoder, kl, log_p_x_given_z: likelihood(model, x, decoder.last) };
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
    const variance = Math.exp(noiseLogvar(model)), params = found.decoder.last, g = new Float32Array(params.length);
    let byNoise = 0;
    for (let row = 0, k = 0; row < rows; row++) { // eq-output-gradient
      for (let j = 0; j < D; j++, k++) {
        const error = (shape.likelihood === "bernoulli" ? sigmoid(params[k]) : params[k]) - x[k % x.length];
        g[k] = by(row) * (shape.likelihood === "bernoulli" ? error : error / variance);
        byNoise += by(row) * (1 - error ** 2 / variance) / 2;
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
    return affine({ n_in: n_nodes, n_out: xs.length, weight: across, bias: new Float32Array(xs.length) }, up);
  }

  live.provide("trainer", { create, learn, slopes, judge, encode, decode, evidence, density, mistakes: Object.keys(mistakes) });
})();
