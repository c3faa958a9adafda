/* Which dimensions of a linear VAE are in use (eq-linear-optimum, eq-linear-rate), as the level tau = beta s^2 rises and
   falls against the variances of the training digits along their leading directions. */
live.register("switch-off", host => {
  const variances = [ // the twenty largest eigenvalues of the training digits' covariance
    5.1168, 3.7413, 3.2527, 2.8416, 2.5671, 2.2736, 1.7251, 1.5205, 1.4563, 1.2427,
    1.1121, 1.0666, 0.9047, 0.8922, 0.8323, 0.7819, 0.6984, 0.6732, 0.6260, 0.6078,
  ];
  const rest = 18.7922; // the sum of all others
  const lowest = 0.1, highest = 10; // of beta
  const state = { power: 0, noise: 1, contrast: 1 }; // beta = 10^power

  const level = () => 10 ** state.power * state.noise ** 2;
  const scaled = () => variances.map(v => v * state.contrast ** 2);
  const reach = () => 1.3 * Math.max(variances[0], scaled()[0]); // of the level, where it is dragged
  const sum = values => values.reduce((a, b) => a + b, 0);
  function numbers() {
    const tau = level(), lambdas = scaled();
    return {
      tau, lambdas,
      shares: lambdas.map(v => Math.max(0, 1 - tau / v)), // of a code's variance 1: the part that the images cause
      used: lambdas.filter(v => v > tau).length,
      rate: 0.5 * sum(lambdas.map(v => Math.max(0, Math.log(v / tau)))),
      error: sum(lambdas.map(v => Math.min(v, tau))) + rest * state.contrast ** 2,
      total: sum(lambdas) + rest * state.contrast ** 2,
    };
  }

  const look = { width: 640, x: [0.4, 20.6], margin: [12, 8, 26, 30] };
  function scale(context, figure, values, label) {
    const { px, py, x, colours } = figure;
    context.lineWidth = 1;
    context.strokeStyle = colours.line;
    context.beginPath();
    context.moveTo(px(x[0]), py(0));
    context.lineTo(px(x[1]), py(0));
    context.stroke();
    context.fillStyle = colours.muted;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of values) context.fillText(value, px(x[0]) - 6, py(value));
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const j of [1, 5, 10, 15, 20]) context.fillText(j, px(j), py(0) + 6);
    context.textAlign = "right";
    context.fillText(label, px(x[1]), 3);
    context.lineWidth = 2;
  }
  function bar(context, figure, j, from, to, colour, alpha = 1) {
    const { px, py } = figure;
    context.fillStyle = colour;
    context.globalAlpha = alpha;
    context.fillRect(px(j - 0.36), py(to), px(j + 0.36) - px(j - 0.36), py(from) - py(to));
    context.globalAlpha = 1;
  }

  const spectrum = live.canvas(host, {
    ...look, height: 210,
    label: "Variance of the digits along twenty directions, as bars, and the level tau. Drag the level, or use the arrow keys.",
  }, (context, figure) => {
    const { px, py, x, colours } = figure, { tau, lambdas } = numbers();
    figure.y = [0, Math.max(reach(), 1.3 * tau)]; // the grip's name stays below the title
    const step = [1, 2, 5, 10, 20].find(v => figure.y[1] / v < 7);
    const ticks = [];
    for (let v = 0; v < figure.y[1]; v += step) ticks.push(v);
    scale(context, figure, ticks, "variance of the images");
    lambdas.forEach((v, j) => {
      bar(context, figure, j + 1, 0, Math.min(v, tau), colours.red, 0.35);
      if (v > tau) bar(context, figure, j + 1, tau, v, colours.blue);
    });
    context.strokeStyle = colours.red;
    context.setLineDash([7, 4]);
    context.beginPath();
    context.moveTo(px(x[0]), py(tau));
    context.lineTo(px(x[1]), py(tau));
    context.stroke();
    context.setLineDash([]);
    live.grip(context, figure, 18, tau, colours.red, "level \u03c4");
  });

  const code = live.canvas(host, {
    ...look, height: 120, y: [0, 1.25],
    label: "Variance of the mean code in each of the twenty dimensions: zero where the level is above the bar.",
  }, (context, figure) => {
    scale(context, figure, [0, 1], "variance of the mean code");
    numbers().shares.forEach((share, j) => {
      if (share > 0) bar(context, figure, j + 1, 0, share, figure.colours.blue);
      else live.dot(context, figure.px(j + 1), figure.py(0), 3, figure.colours.red);
    });
  });

  const say = live.readout(host);
  const row = live.row(host);
  const short = v => String(Number(v.toPrecision(3)));
  const shows = [
    live.slider(row, state, "power", {
      label: "weight \u03b2", min: Math.log10(lowest), max: Math.log10(highest), step: 0.02, format: v => short(10 ** v),
    }, update),
    live.slider(row, state, "noise", { label: "noise s of a pixel", min: 0.5, max: 2, step: 0.05 }, update),
    live.slider(row, state, "contrast", { label: "contrast of the images", min: 0.25, max: 2, step: 0.05 }, update),
  ];
  const buttons = live.row(host);
  live.button(buttons, "Raise \u03b2 until the code is empty", () => {
    const from = state.power;
    const to = Math.log10(Math.min(highest, 1.01 * scaled()[0] / state.noise ** 2));
    live.animate(t => host.live.set({ power: from + (to - from) * t }), 3000);
  });

  function update() {
    for (const show of shows) show();
    const { tau, used, rate, error, total } = numbers();
    const verdict = used ? `${used} of 20 dimensions are in use` : "no dimension is in use, the code is empty";
    say(`\u03c4 = \u03b2s\u00b2 = ${short(tau)}: ${verdict}; the rate is ${rate.toFixed(2)} nats,`
      + ` the squared error ${error.toFixed(1)}, and without a code ${total.toFixed(1)}.`);
    spectrum.redraw();
    code.redraw();
  }

  live.drag(spectrum, [{
    get: () => [18, level()],
    set: ([, tau]) => {
      const beta = Math.min(tau, reach()) / state.noise ** 2;
      state.power = Math.log10(Math.min(highest, Math.max(lowest, beta)));
      update();
    },
  }], { step: 0.05 });
  live.expose(host, state, { update, numbers, figures: [spectrum, code] });
});
