/* Estimates of log p(x) with K = 1, 10, 100, 1000 importance weights (eq-log-estimate) where it is known: z ~ N(0, 1) and
   x | z ~ N(z, 1), with the image x = 1 (eq-linear-gaussian with W = s = 1, b = 0), and q = N(mu, sigma^2). */
live.register("estimates", host => {
  const x = 1, nPerColumn = 20, sizes = [1, 10, 100, 1000];
  const posterior = { mu: x / 2, variance: 0.5 }; // eq-linear-gaussian-posterior
  const logPx = -0.5 * Math.log(2 * Math.PI * 2) - x ** 2 / 4; // eq-linear-gaussian-evidence: N(x; 0, 2)
  const start = { mu: 0, sigma: 1 }, sure = { mu: -1.5, sigma: 0.35 };
  const state = { ...start, draws: 1 };

  const logWeight = (eps, mu, sigma) => { // log p(x, z) - log q(z) at z = mu + sigma * eps (eq-importance-weights)
    const z = mu + sigma * eps;
    return -0.5 * ((x - z) ** 2 + z ** 2 - eps ** 2) - 0.5 * Math.log(2 * Math.PI) + Math.log(sigma);
  };
  function estimate(logW) {
    const most = Math.max(...logW);
    return most + Math.log(logW.reduce((sum, w) => sum + Math.exp(w - most), 0) / logW.length);
  }
  function drawColumns(seed, mu, sigma) { // of each column the noise of its first estimate, and all its estimates
    const next = live.random(seed);
    return sizes.map(k => {
      const noise = Array.from({ length: nPerColumn }, () => Array.from({ length: k }, () => live.normal(next)));
      return { noise: noise[0], values: noise.map(eps => estimate(eps.map(e => logWeight(e, mu, sigma)))) };
    });
  }

  // The sums over the draws so far, begun anew when q has changed.
  let known = {}, sums, columns;
  function drawAll() {
    const { mu, sigma, draws } = state;
    if (known.mu !== mu || known.sigma !== sigma || known.draws > draws) {
      known = { mu, sigma, draws: 0 };
      sums = sizes.map(() => 0);
    }
    while (known.draws < draws) {
      columns = drawColumns(++known.draws, mu, sigma);
      columns.forEach(({ values }, i) => { for (const value of values) sums[i] += value; });
    }
  }

  const numbers = () => ({
    logPx,
    elbo: logPx - live.gaussianKl(state.mu, state.sigma, posterior.mu, Math.sqrt(posterior.variance)),
    forward: live.gaussianKl(posterior.mu, Math.sqrt(posterior.variance), state.mu, state.sigma),
    means: sums.map(sum => sum / (state.draws * nPerColumn)),
    estimates: columns.map(column => column.values),
    noise: columns.map(column => column.noise),
  });

  const minus = (v, digits) => v.toFixed(digits).replace("-", "\u2212");
  const dots = live.canvas(host, {
    width: 640, height: 280, x: [-0.5, 4.3], y: [-8, 0], margin: [10, 12, 40, 42],
    label: "Four columns of estimates of log p(x), with 1, 10, 100 and 1000 weights, below and around the line of log p(x).",
  }, (context, figure) => {
    const { px, py, colours } = figure;
    const { means, estimates, elbo } = numbers();
    const low = logPx - 1.3 * Math.max(2, logPx - Math.min(elbo, ...means)); // beyond it a dot stands on the rim
    figure.y = [low, logPx + 0.3 * (logPx - low)];
    const line = (value, colour, dash) => {
      context.strokeStyle = colour;
      context.setLineDash(dash);
      context.beginPath();
      context.moveTo(px(-0.5), py(value));
      context.lineTo(px(figure.x[1]), py(value));
      context.stroke();
      context.setLineDash([]);
    };
    const name = (text, value, colour) => {
      context.fillStyle = colour;
      context.textAlign = "right";
      context.textBaseline = "bottom";
      context.fillText(text, px(figure.x[1]) - 3, py(value) - 3);
    };
    line(logPx, colours.green, []);
    name("log p(x)", logPx, colours.green);
    line(elbo, colours.red, [7, 4]);
    if (py(elbo) - py(logPx) > 18) name("ELBO", elbo, colours.red); // else the names would touch
    context.globalAlpha = 0.55;
    estimates.forEach((values, i) => values.forEach((value, n) => {
      const across = i + 0.6 * ((n + 0.5) / nPerColumn - 0.5);
      live.dot(context, px(across), py(Math.min(figure.y[1], Math.max(figure.y[0], value))), 3.5, colours.blue);
    }));
    context.globalAlpha = 1;
    context.strokeStyle = colours.ink;
    context.lineWidth = 3;
    means.forEach((mean, i) => {
      context.beginPath();
      context.moveTo(px(i - 0.36), py(mean));
      context.lineTo(px(i + 0.36), py(mean));
      context.stroke();
    });
    context.lineWidth = 1;
    context.strokeStyle = colours.line;
    context.strokeRect(px(-0.5), py(figure.y[1]), px(figure.x[1]) - px(-0.5), py(figure.y[0]) - py(figure.y[1]));
    context.fillStyle = colours.muted;
    context.textAlign = "right";
    context.textBaseline = "middle";
    const every = [1, 2, 5, 10, 20].find(step => (figure.y[1] - figure.y[0]) / step <= 8);
    for (let v = Math.ceil(figure.y[0] / every) * every; v <= figure.y[1]; v += every)
      context.fillText(minus(v, 0), px(-0.5) - 6, py(v));
    context.textAlign = "center";
    context.textBaseline = "top";
    const names = figure.width < 420 ? sizes : sizes.map(k => `K = ${k}`);
    names.forEach((text, i) => context.fillText(text, px(i), py(figure.y[0]) + 6));
    context.fillText("weights in one estimate", px(1.5), py(figure.y[0]) + 22);
    context.lineWidth = 2;
  });

  const say = live.readout(host);
  const row = live.row(host);
  const restart = () => { state.draws = 1; update(); };
  const shows = [
    live.slider(row, state, "mu", { label: "mean of q", min: -2.5, max: 2.5, step: 0.05, format: v => minus(v, 2) }, restart),
    live.slider(row, state, "sigma", { label: "standard deviation of q", min: 0.2, max: 1.5, step: 0.05 }, restart),
  ];
  const buttons = live.row(host);
  live.button(buttons, "Draw anew", () => { state.draws += 1; update(); });
  live.button(buttons, "Draw 20 times", () => { state.draws += 20; update(); });
  live.button(buttons, "A q that is sure of the wrong place", () => { Object.assign(state, sure); restart(); });
  live.button(buttons, "Back to the start", () => { Object.assign(state, start); restart(); });

  function update() {
    for (const show of shows) show();
    drawAll();
    const { means, forward } = numbers();
    const listed = means.map((mean, i) => `${minus(mean, 2)} (K = ${sizes[i]})`).join(", ");
    const many = Math.exp(forward), power = String(Math.round(forward / Math.LN10));
    const raised = [...power].map(digit => "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[digit]).join("");
    say(`Means of ${state.draws * nPerColumn} estimates each: ${listed}; log p(x) = ${minus(logPx, 2)} nats.`
      + ` It takes about ${many < 1e4 ? Math.ceil(many) : `10${raised}`} weights, or more.`);
    dots.redraw();
  }
  live.expose(host, state, { update, numbers, figures: [dots] });
});
