/* The effective beta of a loss whose two terms are reduced in different ways (eq-effective-beta, eq-gaussian-beta). */
live.register("loss-scale", host => {
  const programs = { // those of the page's table for which the answer differs
    "the report’s code": { cost: "bce", likelihood: "sum", kl: "batchmean", weight: 1, batch: 128 },
    "pytorch/examples": { cost: "bce", likelihood: "sum", kl: "sum", weight: 1 },
    "keras, 2016": { cost: "bce", likelihood: "mean", kl: "mean", weight: 1, pixels: 784, latents: 2 },
    "pythae, mse": { cost: "half", likelihood: "batchmean", kl: "batchmean", weight: 1 },
    "PyTorch-VAE": { cost: "square", likelihood: "mean", kl: "batchmean", weight: 0.00025, pixels: 12288 },
    "WorldModels, Keras": { cost: "square", likelihood: "mean", kl: "batchmean", weight: 1, pixels: 12288 },
  };
  const state = { program: "the report’s code", cost: "bce", likelihood: "sum", kl: "batchmean", weight: 1, pixels: 784, latents: 2, batch: 128 };

  const divisor = (reduction, width) => ({ sum: 1, batchmean: state.batch, mean: state.batch * width })[reduction];
  const numbers = () => {
    const ratio = divisor(state.likelihood, state.pixels) / divisor(state.kl, state.latents);
    const beta = state.weight * ratio / (state.cost === "half" ? 0.5 : 1); // half a squared error: twice the KL
    return { beta, noise: state.cost === "bce" ? null : Math.sqrt(beta / 2) };
  };

  const whole = v => Math.abs(v - Math.round(v)) < 1e-9 * v;
  function digits(v) {
    if (v < 1e9 && whole(v)) return String(Math.round(v));
    return (v >= 1e6 || v < 1e-4 ? v.toExponential(2) : String(Number(v.toPrecision(4)))).replace("-", "\u2212");
  }
  function sentence() {
    const { beta, noise } = numbers();
    const shown = beta < 1 && whole(1 / beta) ? `1/${Math.round(1 / beta)}` : digits(beta);
    if (noise !== null)
      return `\u03b2 = ${shown} beside a sum of squared errors: the ELBO of a Gaussian model with noise s = ${digits(noise)}`
        + " in the unit of the pixels. Is that the noise you mean?";
    if (Math.abs(beta - 1) < 1e-9) return "\u03b2 = 1: up to a common factor, this loss is minus the ELBO.";
    return `\u03b2 = ${shown}: the KL divergence counts ${digits(beta < 1 ? 1 / beta : beta)} times too`
      + ` ${beta < 1 ? "little" : "much"} for an ELBO.`;
  }

  const sums = live.row(host);
  const options = [["sum", "sum over all"], ["batchmean", "sum, then mean over images"], ["mean", "mean over all"]];
  const sizes = live.row(host);
  const shows = [
    live.choice(sums, state, "program", {
      label: "start from",
      options: [...Object.keys(programs), "your own"].map(name => [name, name]),
    }, () => { Object.assign(state, programs[state.program]); update(); }),
    live.choice(sums, state, "cost", {
      label: "cost of a pixel",
      options: [["bce", "binary cross-entropy"], ["half", "half the squared error"], ["square", "squared error"]],
    }, edited),
    live.choice(sums, state, "likelihood", { label: "this cost, reduced by", options }, edited),
    live.choice(sums, state, "kl", { label: "KL divergence, reduced by", options }, edited),
    live.number(sizes, state, "pixels", { label: "pixels D", whole: true }, edited),
    live.number(sizes, state, "latents", { label: "dimensions J", whole: true }, edited),
    live.number(sizes, state, "batch", { label: "batch size B", whole: true }, edited),
    live.number(sizes, state, "weight", { label: "weight w of the KL" }, edited),
  ];

  const scale = live.canvas(host, {
    width: 640, height: 84, x: [-6, 6], y: [0, 1], margin: [30, 16, 30, 16],
    label: "The effective beta on a logarithmic scale from a millionth to a million; the line marks one.",
  }, (context, figure) => {
    const { px, py, colours } = figure;
    const at = Math.min(6, Math.max(-6, Math.log10(numbers().beta)));
    context.strokeStyle = colours.line;
    context.fillStyle = colours.muted;
    context.lineWidth = 1;
    context.textAlign = "center";
    context.textBaseline = "top";
    context.beginPath();
    context.moveTo(px(-6), py(0));
    context.lineTo(px(6), py(0));
    for (const [v, name] of [[-6, "10\u207b\u2076"], [-3, "10\u207b\u00b3"], [0, "1"], [3, "10\u00b3"], [6, "10\u2076"]]) {
      context.moveTo(px(v), py(0) - (v ? 5 : 22));
      context.lineTo(px(v), py(0) + 5);
      context.fillText(name, px(v), py(0) + 8);
    }
    context.stroke();
    context.strokeStyle = colours.red;
    context.lineWidth = 6;
    context.beginPath();
    context.moveTo(px(0), py(0.45));
    context.lineTo(px(at), py(0.45));
    context.stroke();
    live.dot(context, px(at), py(0.45), 7, colours.red);
    context.textBaseline = "bottom";
    context.fillStyle = colours.ink;
    context.fillText("\u03b2", px(at), py(0.45) - 10);
  });
  const say = live.readout(host);

  function edited() { state.program = "your own"; update(); }
  function update() {
    for (const show of shows) show();
    say(sentence());
    scale.redraw();
  }
  live.expose(host, state, { update, numbers, figures: [scale] });
});
