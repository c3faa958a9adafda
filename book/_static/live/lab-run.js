/* One run of the lab: a model, its data, and what is known of it so far. No part of it sees the page.

   const { begin } = await live.load("lab-run");
   run = await begin(state, drawn)   state: the lab's setting (lab.js); drawn: the reader's own points
   run.step()       one step of Adam on the next batch; run.fault says so if the loss is NaN or beyond all bounds
   run.slice()      judges some of the held-out data; after the last of them run.history has one more point
   run.measure()    judges all of them, with the weights as they are
   run.report() -> {steps, elbo, training_log_p_x_given_z, held_out_elbo, log_p_x_given_z, kl, log_p, gap, sigma, fault}: nats per
       example, the first two of the batches since the last point; log_p and gap of points alone. run.vote(): share of held-out digits that ten neighbours in the plane name; run.distance(): of images from
       the prior to the nearest training digit
   run.beta(), run.decode(z), run.density(xs, ys);  run.file() -> what vae_lib.exchange.read_model reads
   run.data, model, history, kl, mu, logvar, prior, before (the history of the run before): for the pictures */
(() => {
  const SECOND = 32; // width of the second hidden layer for digits
  const EARLY = 20; // points of the history, which come quickly: much happens in their time
  const add = (a, b) => a + b;

  function shapeOf(state, data) {
    const gaussian = data.points || state.likelihood === "gaussian", learned = state.sigma === "learned";
    return {
      n_pixels: data.n_pixels, latent_dim: data.points ? 1 : state.latent, hidden: [state.width, data.points ? state.width : SECOND],
      activation: data.points ? "tanh" : state.activation, likelihood: gaussian ? "gaussian" : "bernoulli",
      noise_std: gaussian ? (learned ? 0.1 : Number(state.sigma)) : 1, learn_noise: gaussian && learned,
    };
  }

  async function begin(state, drawn) {
    const [trainer, source] = await Promise.all(["trainer", "lab-data"].map(live.load));
    const data = await source.load(state.data, state.seed, drawn), shape = shapeOf(state, data), { latent_dim: J, n_pixels: D } = shape;
    const n_train = data.train.x.length / D, n_held_out = data.held_out.x.length / D;
    const model = trainer.create(shape, data.mean, n_train, state.seed), next = live.random(state.seed);
    const normals = (n, draw = next) => Float32Array.from({ length: n }, () => live.normal(draw));
    const order = Array.from({ length: n_train }, (_, i) => i);
    const run = { data, model, history: [], kl: [], mu: new Float32Array(), logvar: new Float32Array(), before: [], prior: normals(10 * J), fault: "",
      decode: z => trainer.decode(model, z), density: (xs, ys) => trainer.density(model, xs, ys) };
    let at = n_train, sweep, since = { n: 0, elbo: 0, fit: 0 }; // since: the steps after the last point of the history

    function batch() {
      const size = Math.min(state.batch, n_train), x = new Float32Array(size * D);
      for (let b = 0; b < size; b++, at++) {
        if (at === n_train) {
          for (let i = n_train - 1; i > 0; i--) { // Fisher and Yates
            const j = Math.floor(next() * (i + 1));
            [order[i], order[j]] = [order[j], order[i]];
          }
          at = 0;
        }
        x.set(data.train.x.subarray(order[at] * D, (order[at] + 1) * D), b * D);
      }
      return x;
    }

    run.beta = () => state.beta * (state.warmup ? Math.min(1, model.steps / state.warmup) : 1); // the KL's weight in the next step
    run.step = () => {
      const x = batch(), n = x.length / D * J * state.draws;
      const eps = state.noise === "on" ? normals(n) : new Float32Array(n);
      const { lr, objective, mistake } = state, found = trainer.learn(model, x, eps, { lr, beta: run.beta(), objective, mistake });
      if (!(Math.abs(found.loss) < 1e6)) { // nor is NaN
        run.fault = `The loss has left all bounds after ${model.steps} steps. A smaller learning rate may help: choose one and start anew.`;
      }
      since.elbo += found.elbo;
      since.fit += found.log_p_x_given_z;
      since.n += 1;
    };

    function fresh() {
      sweep = { from: 0, mu: new Float32Array(n_held_out * J), logvar: new Float32Array(n_held_out * J), elbo: 0, log_p_x_given_z: 0,
        log_p: 0, kl: new Array(J).fill(0) };
    }
    run.slice = () => { // so many that no frame waits for all of them
      const size = data.points ? 100 : run.history.length < EARLY ? 250 : 50;
      const { from } = sweep, to = Math.min(n_held_out, from + size), share = (to - from) / n_held_out;
      const x = data.held_out.x.subarray(from * D, to * D), found = trainer.judge(model, x, data.noise.subarray(from * J, to * J));
      for (const key of ["elbo", "log_p_x_given_z"]) sweep[key] += share * found[key];
      found.kl.forEach((nats, j) => { sweep.kl[j] += share * nats; });
      if (data.points) sweep.log_p += trainer.evidence(model, x).reduce(add, 0) / n_held_out;
      for (const key of ["mu", "logvar"]) sweep[key].set(found[key], from * J);
      sweep.from = to;
      if (to === n_held_out) end();
    };
    function end() {
      const { mu, logvar, kl, elbo, log_p_x_given_z, log_p } = sweep;
      Object.assign(run, { mu, logvar, kl });
      const last = run.history.at(-1), again = last?.steps === model.steps && run.history.pop(); // the same weights, judged again
      const training = since.n ? { elbo: since.elbo / since.n, training_log_p_x_given_z: since.fit / since.n }
        : { elbo: again?.elbo ?? null, training_log_p_x_given_z: again?.training_log_p_x_given_z ?? null };
      run.history.push({ steps: model.steps, ...training, held_out_elbo: elbo, log_p_x_given_z, log_p: data.points ? log_p : null });
      if (run.history.length === 400) run.history = run.history.filter((_, i) => i % 2 === 1); // the last one stays
      since = { n: 0, elbo: 0, fit: 0 };
      fresh();
    }
    run.measure = () => {
      fresh();
      do run.slice(); while (sweep.from > 0);
    };

    run.report = () => {
      const { steps: _, ...last } = run.history.at(-1), sigma = shape.learn_noise ? Math.exp(model.weights[0] / 2) : shape.noise_std;
      const gap = data.points ? last.log_p - last.held_out_elbo : null;
      return { steps: model.steps, ...last, kl: [...run.kl], gap, sigma, fault: run.fault };
    };

    run.vote = () => {
      if (data.points || J !== 2) return null;
      const { mu } = run, { labels } = data.held_out, near = new Float64Array(10), whose = new Int32Array(10);
      let right = 0;
      for (let i = 0; i < n_held_out; i++) {
        near.fill(Infinity);
        for (let k = 0; k < n_held_out; k++) {
          const d = (mu[2 * k] - mu[2 * i]) ** 2 + (mu[2 * k + 1] - mu[2 * i + 1]) ** 2;
          if (k === i || d >= near[9]) continue;
          let place = 9; // the ten nearest stay in their order
          for (; place > 0 && near[place - 1] > d; place--) [near[place], whose[place]] = [near[place - 1], whose[place - 1]];
          [near[place], whose[place]] = [d, k];
        }
        const votes = new Array(10).fill(0);
        for (const k of whose) votes[labels[k]] += 1;
        right += votes.indexOf(Math.max(...votes)) === Number(labels[i]);
      }
      return right / n_held_out;
    };
    run.distance = () => { // of 200 images, always from the same draws
      if (data.points) return null;
      const images = run.decode(normals(200 * J, live.random(7))), { x } = data.train;
      let total = 0;
      for (let i = 0; i < images.length; i += D) {
        let least = Infinity;
        for (let k = 0; k < x.length; k += D) {
          let d = 0;
          for (let j = 0; j < D && d < least; j++) d += (images[i + j] - x[k + j]) ** 2;
          least = Math.min(least, d);
        }
        total += Math.sqrt(least) / 200;
      }
      return total;
    };

    run.file = () => { // the format is described in vae_lib/exchange.py
      const base64 = values => btoa(Array.from(new Uint8Array(Float32Array.from(values).buffer), byte => String.fromCharCode(byte)).join(""));
      const layer = ({ n_in, n_out, weight, bias }) => ({ n_in, n_out, weight: base64(weight), bias: base64(bias) });
      const [{ n_in, weight, bias, ...first }, ...others] = model.encoder; // the mean goes into the first bias
      const shifted = bias.map((b, o) => b - weight.subarray(o * n_in, (o + 1) * n_in).reduce((sum, w, j) => sum + w * model.mean[j], 0));
      const layers = { encoder: [{ n_in, weight, ...first, bias: shifted }, ...others], decoder: model.decoder };
      const part = name => ({ format: "vae_lib network 2", part: name, dtype: "float32", latent_dim: J, n_pixels: D,
        shape: data.side ? [1, data.side, data.side] : null, activation: shape.activation, likelihood: shape.likelihood, logvar_bound: 20,
        layers: layers[name].map(layer), sha256: null });
      return { format: "vae_lib model 1", noise_std: run.report().sigma, learn_noise: shape.learn_noise,
        encoder: part("encoder"), decoder: part("decoder") };
    };

    run.measure();
    return run;
  }

  live.provide("lab-run", { begin });
})();
