/* Two Gaussians q and p, the divergence in both directions, and the integrand of one of them (eq-kl). */
live.register("kl-divergence", host => {
  const state = { muQ: 0, sigmaQ: 1, muP: 0, sigmaP: 2, direction: "reverse" };
  const { gaussian, gaussianKl } = live;
  const q = z => gaussian(z, state.muQ, state.sigmaQ);
  const p = z => gaussian(z, state.muP, state.sigmaP);
  const minus = v => v.toFixed(2).replace("-", "\u2212");

  // log q(z) - log p(z) from the exponents: the densities themselves may underflow.
  const logRatio = z => Math.log(state.sigmaP / state.sigmaQ)
    - 0.5 * ((z - state.muQ) / state.sigmaQ) ** 2 + 0.5 * ((z - state.muP) / state.sigmaP) ** 2;
  const integrand = z => (state.direction === "reverse" ? q(z) * logRatio(z) : -p(z) * logRatio(z));
  const x = [-8, 8];
  const numbers = () => {
    const values = Array.from({ length: 801 }, (_, i) => integrand(x[0] + 0.02 * i));
    return {
      klQP: gaussianKl(state.muQ, state.sigmaQ, state.muP, state.sigmaP),
      klPQ: gaussianKl(state.muP, state.sigmaP, state.muQ, state.sigmaQ),
      lowest: Math.min(...values),
      highest: Math.max(...values),
    };
  };

  const densities = live.canvas(host, {
    width: 640, height: 200, x, y: [0, 1],
    label: "Densities of q and p. Drag a curve to move its mean, or use the arrow keys.",
  }, (context, figure) => {
    const { blue, red } = figure.colours;
    figure.y = [0, Math.max(0.5, 1.25 * q(state.muQ), 1.25 * p(state.muP))];
    live.axis(context, figure, "z");
    live.curve(context, figure, q, blue);
    live.curve(context, figure, p, red, { dash: [7, 4] });
    for (const [name, mu, f, colour] of [["q", state.muQ, q, blue], ["p", state.muP, p, red]])
      live.grip(context, figure, mu, f(mu), colour, name);
  });

  const area = live.canvas(host, {
    width: 640, height: 150, x, y: [-1, 1], margin: [20, 12, 8, 12],
    label: "The integrand of the chosen divergence over z, shaded: above the axis it adds, below it takes away.",
  }, (context, figure) => {
    const { lowest, highest } = numbers();
    figure.y = [1.05 * Math.min(-0.1, lowest), 1.05 * Math.max(0.3, highest)];
    const { blue, purple, line, muted } = figure.colours;
    live.curve(context, figure, z => Math.max(0, integrand(z)), blue, { fill: true });
    live.curve(context, figure, z => Math.min(0, integrand(z)), purple, { fill: true });
    live.curve(context, figure, integrand, figure.colours.ink);
    context.lineWidth = 1;
    live.curve(context, figure, () => 0, line);
    context.fillStyle = muted;
    context.textAlign = "left";
    context.textBaseline = "top";
    const name = state.direction === "reverse" ? "q(z) log(q(z)/p(z))" : "p(z) log(p(z)/q(z))";
    context.fillText(`${name}, from ${minus(lowest)} to ${minus(highest)}, the scale adapts`, figure.px(x[0]), 2);
  });

  const say = live.readout(host);
  const row = live.row(host);
  const mu = { min: -2, max: 2, step: 0.05, format: minus };
  const sigma = { min: 0.4, max: 2, step: 0.05 };
  const shows = [
    live.slider(row, state, "muQ", { label: "mean of q", ...mu }, update),
    live.slider(row, state, "sigmaQ", { label: "standard deviation of q", ...sigma }, update),
    live.slider(row, state, "muP", { label: "mean of p", ...mu }, update),
    live.slider(row, state, "sigmaP", { label: "standard deviation of p", ...sigma }, update),
    live.choice(row, state, "direction", {
      label: "shade",
      options: [["reverse", "KL(q \u2016 p): average over q"], ["forward", "KL(p \u2016 q): average over p"]],
    }, update),
  ];

  function update() {
    for (const show of shows) show();
    const { klQP, klPQ } = numbers();
    say(`KL(q \u2016 p) = ${klQP.toFixed(3)} nats, KL(p \u2016 q) = ${klPQ.toFixed(3)} nats.`
      + ` The shaded area, what lies below the axis taken away, is ${state.direction === "reverse" ? "the first" : "the second"}.`);
    densities.redraw();
    area.redraw();
  }

  const handle = (key, f) => ({
    get: () => [state[key], f(state[key])],
    set: ([z]) => { state[key] = Math.min(2, Math.max(-2, z)); update(); },
  });
  live.drag(densities, [handle("muQ", q), handle("muP", p)], { step: 0.05, flat: true });
  live.expose(host, state, { update, numbers, figures: [densities, area] });
});
