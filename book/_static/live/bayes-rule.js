/* Bayes' rule (eq-posterior) while the image moves, in the model of exm-two-peaks: z ~ N(0, 1), x | z ~ N(f(z), s^2). */
live.register("bayes-rule", host => {
  const state = { x: 2, s: 0.4 };
  const f = z => z ** 2 + z / 4;
  const prior = z => live.gaussian(z, 0, 1);
  const joint = z => live.gaussian(state.x, f(z), state.s) * prior(z); // eq-joint
  const z = [-3.2, 3.2];
  const range = [-1, 5];
  let found;

  // Sums over a grid that reaches far beyond the window: eq-evidence, and moments of the posterior.
  function numbers() {
    const step = 0.005, nodes = Array.from({ length: 3201 }, (_, i) => -8 + step * i);
    const values = nodes.map(joint);
    const sum = g => step * values.reduce((total, v, i) => total + v * g(nodes[i]), 0);
    const evidence = sum(() => 1);
    const mean = sum(v => v) / evidence;
    return {
      evidence,
      mean,
      std: Math.sqrt(sum(v => (v - mean) ** 2) / evidence),
      negative: sum(v => (v < 0 ? 1 : v > 0 ? 0 : 0.5)) / evidence,
      peaks: values.filter((v, i) => v > values[i - 1] && v >= values[i + 1]).length,
      highest: Math.max(...values) / evidence,
    };
  }

  const decoder = live.canvas(host, {
    width: 640, height: 210, x: z, y: [-1.6, 6],
    label: "The decoder's curve over the code, with a band of noise. Drag the line of the image up and down, or use the arrow keys.",
  }, (context, figure) => {
    const { px, py, colours: { blue, red, muted } } = figure;
    live.axis(context, figure, "code z");
    context.save();
    context.beginPath();
    context.rect(0, 0, figure.width, py(figure.y[0]));
    context.clip(); // the curve leaves the window at the top
    context.globalAlpha = 0.2;
    context.fillStyle = blue;
    context.beginPath();
    for (let v = z[0]; v <= z[1]; v += 0.02) context.lineTo(px(v), py(f(v) + state.s));
    for (let v = z[1]; v >= z[0]; v -= 0.02) context.lineTo(px(v), py(f(v) - state.s));
    context.fill();
    context.globalAlpha = 1;
    live.curve(context, figure, f, blue);
    context.restore();
    context.strokeStyle = red;
    context.beginPath();
    context.moveTo(px(z[0]), py(state.x));
    context.lineTo(px(z[1]), py(state.x));
    context.stroke();
    live.grip(context, figure, 2.9, state.x, red, "x");
    context.fillStyle = muted;
    context.textAlign = "center";
    context.textBaseline = "top";
    context.fillText("image: f(z) \u00b1 s", px(0), 2);
  });

  const densities = live.canvas(host, {
    width: 640, height: 190, x: z, y: [0, 1],
    label: "Densities over the code: the prior, dashed, and the posterior, shaded.",
  }, (context, figure) => {
    const { blue, muted } = figure.colours;
    const posterior = v => joint(v) / found.evidence;
    figure.y = [0, 1.15 * Math.max(0.5, found.highest)];
    live.axis(context, figure, "code z");
    live.curve(context, figure, prior, muted, { dash: [7, 4] });
    live.curve(context, figure, posterior, blue, { fill: true });
    live.curve(context, figure, posterior, blue);
  });

  const say = live.readout(host);
  const row = live.row(host);
  const minus = v => v.toFixed(2).replace("-", "\u2212");
  const shows = [
    live.slider(row, state, "x", { label: "image x", min: range[0], max: range[1], step: 0.05, format: minus }, update),
    live.slider(row, state, "s", { label: "noise s", min: 0.1, max: 3, step: 0.05 }, update),
  ];

  function update() {
    for (const show of shows) show();
    found = numbers();
    const { evidence, negative, peaks } = found;
    say(`p(x) = ${evidence.toPrecision(3)} at x = ${minus(state.x)}.`
      + ` The posterior has ${peaks === 1 ? "one peak" : "two peaks"}; ${Math.round(100 * negative)} % of it lies at negative codes.`);
    decoder.redraw();
    densities.redraw();
  }

  live.drag(decoder, [{
    get: () => [2.9, state.x],
    set: ([, x]) => { state.x = Math.min(range[1], Math.max(range[0], x)); update(); },
  }], { step: 0.05 });
  live.expose(host, state, { update, numbers, figures: [decoder, densities] });
});
