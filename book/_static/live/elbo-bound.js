/* log p(x) = ELBO + KL(q, posterior) (eq-elbo-identity) in a model where all three are known: z ~ N(0, 1) and
   x | z ~ N(z, 1), with the image x = 1 (eq-linear-gaussian with W = s = 1, b = 0). */
live.register("elbo-bound", host => {
  const x = 1;
  const posterior = { mu: x / 2, sigma: Math.sqrt(0.5) }; // eq-linear-gaussian-posterior
  const state = { mu: -0.5, sigma: 1.2 };
  const { gaussian, gaussianKl } = live;

  const numbers = () => {
    const { mu, sigma } = state;
    const expectedLogLikelihood = -0.5 * Math.log(2 * Math.PI) - 0.5 * ((x - mu) ** 2 + sigma ** 2);
    return {
      logPx: -0.5 * Math.log(2 * Math.PI * 2) - x ** 2 / 4, // eq-linear-gaussian-evidence: N(x; 0, 2)
      elbo: expectedLogLikelihood - gaussianKl(mu, sigma, 0, 1), // eq-elbo
      kl: gaussianKl(mu, sigma, posterior.mu, posterior.sigma), // the gap
    };
  };

  const q = z => gaussian(z, state.mu, state.sigma);
  const densities = live.canvas(host, {
    width: 640, height: 190, x: [-4, 5], y: [0, 1],
    label: "Densities of q and of the posterior. Drag q to move its mean, or use the arrow keys.",
  }, (context, figure) => {
    const { blue, red } = figure.colours;
    figure.y = [0, Math.max(0.75, 1.25 * q(state.mu))];
    live.axis(context, figure, "z");
    live.curve(context, figure, z => gaussian(z, posterior.mu, posterior.sigma), red, { dash: [7, 4] });
    live.curve(context, figure, q, blue);
    context.fillStyle = red;
    const side = state.mu > posterior.mu ? -1 : 1; // the one where q is not
    context.textAlign = side < 0 ? "right" : "left";
    context.fillText("posterior", figure.px(posterior.mu + 0.85 * side), figure.py(gaussian(1.2, posterior.mu, posterior.sigma)));
    live.grip(context, figure, state.mu, q(state.mu), blue, "q");
  });

  const bars = live.canvas(host, {
    width: 640, height: 128, x: [-8, 0], y: [0, 2],
    label: "Two bars of the same length: log p(x) in one piece, and below it the ELBO with the gap to the posterior.",
  }, (context, figure) => {
    const { px, py, x: [base], colours } = figure;
    const { logPx, elbo } = numbers();
    live.axis(context, figure, "nats");
    const bar = (row, from, to, colour, text, hatched) => {
      context.fillStyle = colour;
      context.globalAlpha = hatched ? 0.35 : 1;
      context.fillRect(px(from), py(row + 0.85), px(to) - px(from), py(0) - py(0.7));
      context.globalAlpha = 1;
      context.strokeStyle = colour;
      context.strokeRect(px(from), py(row + 0.85), px(to) - px(from), py(0) - py(0.7));
      context.textBaseline = "middle";
      context.textAlign = "left";
      context.fillStyle = hatched ? colours.ink : colours.paper;
      if (context.measureText(text).width < px(to) - px(from) - 10) context.fillText(text, px(from) + 6, py(row + 0.5));
    };
    bar(1, base, logPx, colours.green, "log p(x)");
    bar(0, base, elbo, colours.blue, "ELBO");
    bar(0, elbo, logPx, colours.red, "KL", true);
    context.strokeStyle = colours.ink;
    context.setLineDash([4, 4]);
    context.beginPath();
    context.moveTo(px(logPx), py(2));
    context.lineTo(px(logPx), py(0));
    context.stroke();
    context.setLineDash([]);
  });

  const say = live.readout(host);
  const row = live.row(host);
  const minus = (v, digits) => v.toFixed(digits).replace("-", "\u2212");
  const shows = [
    live.slider(row, state, "mu", { label: "mean of q", min: -1.5, max: 2.5, step: 0.05, format: v => minus(v, 2) }, update),
    live.slider(row, state, "sigma", { label: "standard deviation of q", min: 0.15, max: 1.6, step: 0.05 }, update),
  ];
  const buttons = live.row(host);
  live.button(buttons, "Go to the posterior", () => {
    const { mu, sigma } = state;
    live.animate(t => host.live.set({
      mu: mu + (posterior.mu - mu) * t,
      sigma: sigma + (posterior.sigma - sigma) * t,
    }));
  });

  function update() {
    for (const show of shows) show();
    const { logPx, elbo, kl } = numbers();
    say(`ELBO + KL = ${minus(elbo, 3)} + ${kl.toFixed(3)} = ${minus(logPx, 3)} nats = log p(x).`);
    densities.redraw();
    bars.redraw();
  }

  live.drag(densities, [{
    get: () => [state.mu, q(state.mu)],
    set: ([z]) => { state.mu = Math.min(2.5, Math.max(-1.5, z)); update(); },
  }], { step: 0.05, flat: true });
  live.expose(host, state, { update, numbers, figures: [densities, bars] });
});
