/* Forty fixed draws of the noise, each carried to z = mu + sigma eps (eq-reparameterization). */
live.register("reparameterization", host => {
  const state = { mu: 1, sigma: 0.7, point: 30, seed: 1 };
  const minus = v => v.toFixed(2).replace("-", "\u2212");

  function draw40() { // in ascending order, so that the slider goes through them from left to right
    const next = live.random(state.seed);
    return Array.from({ length: 40 }, () => live.normal(next)).sort((a, b) => a - b);
  }
  const numbers = () => {
    const eps = draw40();
    const z = eps.map(e => state.mu + state.sigma * e);
    const followed = eps[state.point - 1];
    return { eps, z, followed, dzDmu: 1, dzDsigma: followed };
  };

  // The density stands on the upper axis, lower where it would not fit.
  const height = v => 0.5 + 0.36 * live.gaussian(v, state.mu, state.sigma) / Math.max(0.6, live.gaussian(0, 0, state.sigma));

  const figure = live.canvas(host, {
    width: 640, height: 330, x: [-6, 6], y: [0, 1], margin: [8, 12, 30, 12],
    label: "Noise points on the lower axis, joined by lines to their samples z on the upper one, with the density of z."
      + " Drag to move the mean, or use the arrow keys.",
  }, (context, { px, py, colours }) => {
    const { eps, z } = numbers();
    const [lower, upper] = [py(0.06), py(0.5)];
    const chosen = state.point - 1;
    live.axis(context, figure, "");
    context.lineWidth = 1;
    context.strokeStyle = context.fillStyle = colours.line;
    context.beginPath();
    context.moveTo(px(-6), upper);
    context.lineTo(px(6), upper);
    eps.forEach((e, i) => { context.moveTo(px(e), lower); context.lineTo(px(z[i]), upper); });
    context.globalAlpha = 0.6;
    context.stroke();
    context.globalAlpha = 1;
    context.lineWidth = 2;
    live.curve(context, figure, height, colours.blue);
    eps.forEach((e, i) => {
      live.dot(context, px(e), lower, 3.5, colours.green);
      live.dot(context, px(z[i]), upper, 3.5, colours.blue);
    });
    live.dot(context, px(eps[chosen]), lower, 6, colours.red);
    live.dot(context, px(z[chosen]), upper, 6, colours.red);
    context.strokeStyle = colours.red;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(px(eps[chosen]), lower);
    context.lineTo(px(z[chosen]), upper);
    context.stroke();
    context.fillStyle = colours.ink;
    context.textAlign = "left";
    context.textBaseline = "bottom";
    context.fillText("z = \u03bc + \u03c3\u03b5", px(-6), upper - 4);
    context.fillText("\u03b5", px(-6), lower - 4);
    context.textAlign = "right";
    context.fillText("density of z", px(6), upper - 4);
    live.grip(context, figure, state.mu, height(state.mu), colours.blue, "\u03bc");
  });

  const say = live.readout(host);
  const row = live.row(host);
  const shows = [
    live.slider(row, state, "mu", { label: "mean \u03bc", min: -2, max: 2, step: 0.05, format: minus }, update),
    live.slider(row, state, "sigma", { label: "standard deviation \u03c3", min: 0.1, max: 1.5, step: 0.05 }, update),
    live.slider(row, state, "point", { label: "point followed", min: 1, max: 40, step: 1, format: String }, update),
  ];
  live.button(live.row(host), "New noise", () => { state.seed += 1; update(); });

  function update() {
    for (const show of shows) show();
    const { z, followed } = numbers();
    say(`The point followed has \u03b5 = ${minus(followed)} and z = \u03bc + \u03c3\u03b5 = ${minus(z[state.point - 1])}.`
      + ` Its derivatives: \u2202z/\u2202\u03bc = 1, \u2202z/\u2202\u03c3 = \u03b5 = ${minus(followed)}.`);
    figure.redraw();
  }

  live.drag(figure, [{
    get: () => [state.mu, height(state.mu)],
    set: ([v]) => { state.mu = Math.min(2, Math.max(-2, v)); update(); },
  }], { step: 0.05, flat: true });
  live.expose(host, state, { update, numbers, figures: [figure] });
});
