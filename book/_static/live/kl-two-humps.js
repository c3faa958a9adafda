/* Two humps at -d and d, and what two Gaussians cost in the reverse divergence: the best one in the middle, which covers
   both humps, and the best one on a hump, where there is one (exm-letting-go). */
live.register("kl-two-humps", host => {
  const state = { d: 1.5 };
  const { gaussian } = live;
  const sigma = 0.6; // of a hump
  const range = { min: 0.5, max: 2.5, step: 0.01 };
  const p = z => 0.5 * (gaussian(z, -state.d, sigma) + gaussian(z, state.d, sigma));

  // The logarithm of p from the exponents, for p itself may underflow, and the slope of minus this logarithm.
  const logP = z => -0.5 * ((Math.abs(z) - state.d) / sigma) ** 2
    + Math.log1p(Math.exp(-2 * state.d * Math.abs(z) / sigma ** 2)) - Math.log(2 * sigma * Math.sqrt(2 * Math.PI));
  const slope = z => (z - state.d * Math.tanh(state.d * z / sigma ** 2)) / sigma ** 2;

  // Means under q = N(mean, s^2) are sums over a grid of noise, z = mean + s * eps.
  const grid = Array.from({ length: 401 }, (_, i) => 0.04 * (i - 200));
  const expectation = (mean, s, f) =>
    grid.reduce((sum, eps) => sum + 0.04 * gaussian(eps, 0, 1) * f(mean + s * eps, eps), 0);
  const price = (mean, s) => -0.5 * Math.log(2 * Math.PI * Math.E * s ** 2) - expectation(mean, s, logP);

  function descend(mean, s) { // in the mean and in log s, as the notebook does
    for (let i = 0; i < 2000; i++) {
      const inMean = expectation(mean, s, slope);
      const inLogS = expectation(mean, s, (z, eps) => s * eps * slope(z)) - 1;
      if (Math.hypot(inMean, inLogS) < 1e-8) break;
      mean -= 0.1 * inMean;
      s *= Math.exp(-0.1 * inLogS);
    }
    return { mean, s, price: price(mean, s) };
  }

  let fits;
  const numbers = () => fits;
  function refit() {
    const cover = descend(0, state.d), hump = descend(state.d, sigma);
    fits = { cover, hump: hump.mean > 0.5 ? hump : null, forward: Math.hypot(sigma, state.d) };
    fits.covers = !fits.hump || cover.price <= hump.price;
  }

  const densities = live.canvas(host, {
    width: 640, height: 200, x: [-5, 5], y: [0, 0.8],
    label: "The target with two humps, and the Gaussians fitted to it. Drag a hump to move both, or use the arrow keys.",
  }, (context, figure) => {
    const { muted, blue, red, green } = figure.colours;
    live.axis(context, figure, "z");
    live.curve(context, figure, p, muted, { fill: true });
    live.curve(context, figure, z => gaussian(z, 0, fits.forward), green, { dash: [2, 4] });
    context.lineWidth = fits.covers ? 3 : 1.5;
    live.curve(context, figure, z => gaussian(z, fits.cover.mean, fits.cover.s), red, { dash: [7, 4] });
    context.lineWidth = fits.covers ? 1.5 : 3;
    if (fits.hump) live.curve(context, figure, z => gaussian(z, fits.hump.mean, fits.hump.s), blue);
    context.lineWidth = 2;
    live.grip(context, figure, state.d, p(state.d), muted, "d");
  });

  const bars = live.canvas(host, {
    width: 640, height: 130, x: [0, 2.2], y: [0, 2], margin: [8, 12, 28, 12],
    label: "Two bars: the price of the fit that covers both humps, and of the fit on one hump, with a line at log 2.",
  }, (context, figure) => {
    const { px, py, colours } = figure;
    live.axis(context, figure, "nats");
    const bar = (row, cost, colour, text, chosen) => {
      context.fillStyle = colour;
      context.globalAlpha = chosen ? 1 : 0.35;
      context.fillRect(px(0), py(row + 0.5), px(cost) - px(0), py(0) - py(0.35));
      context.globalAlpha = 1;
      context.textAlign = "left";
      context.textBaseline = "bottom";
      context.fillText(text, px(0), py(row + 0.52));
    };
    bar(1, fits.cover.price, colours.red, "covers both", fits.covers);
    bar(0, fits.hump ? fits.hump.price : 0, colours.blue, fits.hump ? "one hump" : "one hump: no such fit", !fits.covers);
    context.strokeStyle = colours.ink;
    context.setLineDash([4, 4]);
    context.beginPath();
    context.moveTo(px(Math.log(2)), py(2));
    context.lineTo(px(Math.log(2)), py(0));
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = colours.ink;
    context.textBaseline = "top";
    context.fillText("log 2", px(Math.log(2)) + 5, py(2));
  });

  const say = live.readout(host);
  const row = live.row(host);
  const show = live.slider(row, state, "d", { label: "distance d of the humps from the middle", ...range }, update);

  function update() {
    show();
    refit();
    const cover = `covering both costs ${fits.cover.price.toFixed(3)} nats`;
    const hump = fits.hump ? `sitting on one hump ${fits.hump.price.toFixed(3)}` : "there is no fit on one hump";
    say(`At d = ${state.d.toFixed(2)} ${cover}, and ${hump}: the reverse fit ${fits.covers ? "covers" : "lets one go"}.`);
    densities.redraw();
    bars.redraw();
  }

  live.drag(densities, [{
    get: () => [state.d, p(state.d)],
    set: ([z]) => { state.d = Math.min(range.max, Math.max(range.min, Math.round(100 * z) / 100)); update(); },
  }], { step: 0.05, flat: true });
  live.expose(host, state, { update, numbers, figures: [densities, bars] });
});
