/* q = N(mu, sigma^2) against the prior N(0, 1): the divergence as the sum of its four terms (eq-gaussian-kl, J = 1). */
live.register("gaussian-kl", host => {
  const state = { mu: 1, sigma: 0.5 };
  const minus = (v, digits = 2) => v.toFixed(digits).replace("-", "\u2212");

  // -1/2 (1 + log sigma^2 - mu^2 - sigma^2), term by term
  const terms = () => [
    ["\u2212\u00bd", -0.5],
    ["\u2212\u00bd log \u03c3\u00b2", -0.5 * Math.log(state.sigma ** 2)],
    ["\u00bd \u03bc\u00b2", 0.5 * state.mu ** 2],
    ["\u00bd \u03c3\u00b2", 0.5 * state.sigma ** 2],
  ];
  const numbers = () => {
    const values = terms().map(([, value]) => value);
    return { terms: values, kl: values.reduce((a, b) => a + b) };
  };

  const q = z => live.gaussian(z, state.mu, state.sigma);
  const densities = live.canvas(host, {
    width: 640, height: 190, x: [-5, 5], y: [0, 1],
    label: "Densities of q and of the prior. Drag q to move its mean, or use the arrow keys.",
  }, (context, figure) => {
    const { blue, red } = figure.colours;
    figure.y = [0, Math.max(0.5, 1.25 * q(state.mu))];
    live.axis(context, figure, "z");
    live.curve(context, figure, z => live.gaussian(z, 0, 1), red, { dash: [7, 4] });
    live.curve(context, figure, q, blue);
    context.fillStyle = red;
    const side = state.mu > 0 ? -1 : 1; // the one where q is not
    context.textAlign = side < 0 ? "right" : "left";
    context.fillText("prior", figure.px(1.2 * side), figure.py(live.gaussian(1, 0, 1)));
    live.grip(context, figure, state.mu, q(state.mu), blue, "q");
  });

  const waterfall = live.canvas(host, {
    width: 640, height: 176, x: [-1.4, 5], y: [5, 0], margin: [4, 52, 4, 78],
    label: "Waterfall of the four terms: each bar begins where the one above ends, and the last one is their sum.",
  }, (context, figure) => {
    const { px, py, colours } = figure;
    const rows = [...terms(), ["KL", numbers().kl]];
    let start = 0;
    context.textBaseline = "middle";
    for (const [i, [name, value]] of rows.entries()) {
      const total = i === 4;
      const [from, to] = total ? [0, value] : [start, start + value];
      context.fillStyle = total ? colours.blue : value < 0 ? colours.purple : colours.green;
      context.fillRect(px(Math.min(from, to)), py(i) + 5, Math.max(1, Math.abs(px(to) - px(from))), py(1) - py(0) - 10);
      context.fillStyle = colours.ink;
      context.textAlign = "left";
      context.fillText(name, 4, py(i + 0.5));
      context.textAlign = "right";
      context.fillText(`${value > 0 && !total ? "+" : ""}${minus(value)}`, figure.width - 4, py(i + 0.5));
      context.strokeStyle = colours.line;
      context.lineWidth = 1;
      context.beginPath();
      if (!total) { // the next bar begins here
        context.moveTo(px(to), py(i) + 5);
        context.lineTo(px(to), py(i + 2) - 5);
        start = to;
      }
      context.stroke();
    }
    context.beginPath();
    context.moveTo(px(0), py(0));
    context.lineTo(px(0), py(5));
    context.stroke();
  });

  const say = live.readout(host);
  const row = live.row(host);
  const shows = [
    live.slider(row, state, "mu", { label: "mean \u03bc", min: -2, max: 2, step: 0.05, format: v => minus(v) }, update),
    live.slider(row, state, "sigma", { label: "standard deviation \u03c3", min: 0.05, max: 2, step: 0.05 }, update),
  ];
  const buttons = live.row(host);
  live.button(buttons, "Go to the prior", () => {
    const { mu, sigma } = state;
    live.animate(t => host.live.set({ mu: mu * (1 - t), sigma: sigma + (1 - sigma) * t }));
  });

  function update() {
    for (const show of shows) show();
    const { terms: [, logTerm, meanTerm, varianceTerm], kl } = numbers();
    say(`KL = ${kl.toFixed(3)} nats: \u03bc alone costs ${meanTerm.toFixed(3)},`
      + ` \u03c3 alone costs ${(logTerm + varianceTerm - 0.5).toFixed(3).replace("-0.000", "0.000")}.`);
    densities.redraw();
    waterfall.redraw();
  }

  live.drag(densities, [{
    get: () => [state.mu, q(state.mu)],
    set: ([z]) => { state.mu = Math.min(2, Math.max(-2, z)); update(); },
  }], { step: 0.05, flat: true });
  live.expose(host, state, { update, numbers, figures: [densities, waterfall] });
});
