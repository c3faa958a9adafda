/* The pictures of the lab, of a canvas of live.canvas, a run (lab-run.js) and the setting.

   const figures = await live.load("lab-figures");
   figures.plane, manifold, rows, world, curves, bars: (context, figure, run, state) => ...
   figures.shows(name, run): whether a run of its kind has this picture */
(() => {
  const HUES = [90, 200, 325, 35, 0, 145, 250, 110, 290, 225]; // as in plane.js
  const PALE = 0.4; // opacity of what training batches say
  const small = document.createElement("canvas").getContext("2d");

  function picture(context, pixels, side, x, y, size, colours) { // as much ink as the pixel says, on paper
    small.canvas.width = small.canvas.height = side;
    const image = small.createImageData(side, side);
    for (let i = 0; i < pixels.length; i++) image.data[4 * i + 3] = 255 * Math.min(1, Math.max(0, pixels[i]));
    small.putImageData(image, 0, 0);
    small.globalCompositeOperation = "source-in";
    small.fillStyle = colours.ink;
    small.fillRect(0, 0, side, side);
    context.imageSmoothingEnabled = false;
    context.drawImage(small.canvas, x, y, size, size);
  }

  function circles(context, { px, py, colours }) { // the prior: one, two, three standard deviations
    context.lineWidth = 1;
    context.strokeStyle = colours.muted;
    context.setLineDash([5, 4]);
    for (const radius of [1, 2, 3]) {
      context.beginPath();
      context.arc(px(0), py(0), px(radius) - px(0), 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
  }

  function codes(context, { px, py }, { data, mu, logvar }, state, light) { // a cross-section of the codes, one pair of dimensions
    const J = state.latent, [a, b] = [state.across - 1, state.up - 1], { labels } = data.held_out;
    for (let i = 0; i < labels.length; i++) {
      const x = px(mu[i * J + a]), y = py(mu[i * J + b]);
      context.fillStyle = context.strokeStyle = `oklch(${light} 0.13 ${HUES[labels[i]]})`;
      if (!state.ellipses) context.fillText(labels[i], x, y);
      else if (i % 5 === 0) {
        const [s, t] = [a, b].map(j => Math.exp(logvar[i * J + j] / 2));
        context.beginPath();
        context.ellipse(x, y, px(s) - px(0), py(0) - py(t), 0, 0, 2 * Math.PI);
        context.stroke();
      }
    }
  }

  function line(context, figure, { data, mu, logvar }) { // one latent dimension: the prior, and the mean of all q
    const n = data.held_out.x.length / 2, every = Math.ceil(n / 100);
    const mean = z => {
      let total = 0, count = 0;
      for (let i = 0; i < n; i += every, count++) total += live.gaussian(z, mu[i], Math.exp(logvar[i] / 2));
      return total / count;
    };
    live.curve(context, figure, z => live.gaussian(z, 0, 1), figure.colours.muted, { dash: [5, 4] });
    live.curve(context, figure, mean, figure.colours.blue);
    for (let i = 0; i < n; i += every) live.dot(context, figure.px(mu[i]), figure.py(-0.04), 2, figure.colours.green);
  }

  function plane(context, figure, run, state) {
    const one = run.data.points;
    figure.x = [-4, 4];
    figure.y = one ? [-0.1, 0.9] : [-4, 4];
    context.save();
    context.beginPath();
    context.rect(0, 0, figure.width, figure.py(figure.y[0]));
    context.clip();
    if (one) line(context, figure, run);
    if (!one) {
      const light = getComputedStyle(figure.element.parentElement).getPropertyValue("--live-light");
      context.font = "bold 10px sans-serif";
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.lineWidth = 1;
      codes(context, figure, run, state, light);
      circles(context, figure);
    }
    context.restore();
    context.font = "13px sans-serif";
    live.axis(context, figure, one ? "z" : `z${state.across}`);
    if (!one) context.fillText(`z${state.up}`, figure.px(0) - 6, figure.py(figure.y[1]) + 16);
  }

  function manifold(context, figure, { data, decode }, state) { // what the decoder draws, on an even grid of the plane
    const n = 12, J = state.latent, size = figure.width / n, z = new Float32Array(n * n * J);
    for (let i = 0; i < n * n; i++) {
      z[i * J + state.across - 1] = 6 * (i % n + 0.5) / n - 3;
      z[i * J + state.up - 1] = 3 - 6 * (Math.floor(i / n) + 0.5) / n;
    }
    const all = decode(z), D = data.n_pixels;
    for (let i = 0; i < n * n; i++) {
      picture(context, all.subarray(i * D, (i + 1) * D), data.side, i % n * size, Math.floor(i / n) * size, size, figure.colours);
    }
  }

  function rows(context, figure, { data, mu, prior, decode }, state) { // digits, what is rebuilt, what is invented
    const J = state.latent, D = data.n_pixels, left = 96, size = (figure.width - left) / 10;
    const some = Array.from({ length: 10 }, (_, c) => data.held_out.labels.indexOf(String(c)));
    const rebuilt = decode(Float32Array.from(some.flatMap(i => [...mu.subarray(i * J, (i + 1) * J)])));
    const lines = [["held-out digit", c => data.held_out.x.subarray(some[c] * D, (some[c] + 1) * D)],
      ["rebuilt from \u03bc", c => rebuilt.subarray(c * D, (c + 1) * D)]];
    const drawn = decode(prior.subarray(0, 10 * J));
    lines.push(["z from the prior", c => drawn.subarray(c * D, (c + 1) * D)]);
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.font = "12px sans-serif";
    lines.forEach(([name, pixels], row) => {
      context.fillStyle = figure.colours.muted;
      context.fillText(name, 0, row * (size + 4) + size / 2);
      for (let c = 0; c < 10; c++) picture(context, pixels(c), data.side, left + c * size, row * (size + 4), size, figure.colours);
    });
  }

  function world(context, figure, { data, decode, density }) { // the plane of the data
    const { px, py, colours } = figure, n = 48, edge = figure.x[1];
    const ticks = Float32Array.from({ length: n }, (_, i) => edge * (2 * (i + 0.5) / n - 1)), p = density(ticks, ticks);
    const size = (px(edge) - px(-edge)) / n, most = p.reduce((a, b) => Math.max(a, b), 1e-9);
    context.fillStyle = colours.blue;
    for (let i = 0; i < p.length; i++) {
      context.globalAlpha = 0.75 * Math.sqrt(p[i] / most);
      context.fillRect(px(ticks[i % n]) - size / 2, py(ticks[Math.floor(i / n)]) - size / 2, size + 0.5, size + 0.5);
    }
    context.globalAlpha = 1;
    const points = data.train.x;
    for (let i = 0; i < points.length; i += 2) live.dot(context, px(points[i]), py(points[i + 1]), 1.8, colours.ink);
    const f = decode(Float32Array.from({ length: 121 }, (_, i) => 3 * (i / 60 - 1)));
    context.strokeStyle = colours.red;
    context.beginPath();
    for (let i = 0; i < f.length; i += 2) context.lineTo(px(f[i]), py(f[i + 1]));
    context.stroke();
  }

  const bound = { // what the curves show: name, colour, and the number of a point on held-out and on training data
    elbo: ["ELBO", "red", point => point.held_out_elbo, point => point.elbo],
    fit: ["log p(x|z)", "blue", point => point.log_p_x_given_z, point => point.training_log_p_x_given_z],
    exact: ["exact log p(x)", "green", point => point.log_p, () => null],
    kl: ["KL", "purple", point => point.log_p_x_given_z - point.held_out_elbo,
      point => (point.elbo === null ? null : point.training_log_p_x_given_z - point.elbo)],
  };

  function legend(context, { width, colours }, entries) { // as many lines as the width asks for; returns where they end
    context.textBaseline = "middle";
    context.textAlign = "left";
    let x = 0, y = 8;
    for (const { name, colour, pale, dash = [] } of entries) {
      const needed = 24 + context.measureText(name).width;
      if (x > 0 && x + needed > width) [x, y] = [0, y + 18];
      context.strokeStyle = colour;
      context.globalAlpha = pale ? PALE : 1;
      context.setLineDash(dash);
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(x + 18, y);
      context.stroke();
      context.setLineDash([]);
      context.globalAlpha = 1;
      context.fillStyle = colours.ink;
      context.fillText(name, x + 24, y);
      x += needed + 14;
    }
    return y + 16;
  }

  const numbers = (points, functions) => points.flatMap(point => functions.map(f => f(point))).filter(Number.isFinite);

  function heights({ history, before }, lines, least) { // the lowest and the highest number that a panel shows
    const end = history.at(-1).steps, both = lines.flatMap(([, , ...of]) => of);
    const later = points => points.filter(({ steps }) => steps >= Math.min(end / 4, points.at(-1).steps) && steps <= end);
    const core = [...least, ...numbers(later(history), both)], low = Math.min(...core), high = Math.max(...core, low + 1e-3);
    const more = numbers(later(before), [lines[0][2]]); // what may widen the panel, threefold each way at most
    if (least.length) more.push(...numbers(history, both));
    const most = 3 * (high - low);
    return [Math.max(Math.min(low, ...more), low - most), Math.min(Math.max(high, ...more), high + most)];
  }

  function panel(context, figure, run, lines, top, bottom, least = []) { // least: numbers that it shows in any case, with all steps
    const { history, before } = run, { colours } = figure, left = 44, right = figure.width - 2, end = history.at(-1).steps;
    const [low, high] = heights(run, lines, least), digits = high - low < 2 ? 2 : high - low < 20 ? 1 : 0;
    const x = steps => left + (right - left) * steps / Math.max(1, end);
    const y = value => bottom - (bottom - top) * (value - low) / (high - low);
    context.textBaseline = "middle";
    context.textAlign = "right";
    context.fillStyle = colours.muted;
    for (const value of [low, high]) context.fillText(value.toFixed(digits).replace("-", "\u2212"), left - 6, y(value));
    const trace = (points, of, colour) => {
      context.strokeStyle = colour;
      context.beginPath();
      for (const point of points) if (Number.isFinite(of(point) ?? NaN)) context.lineTo(x(point.steps), y(of(point)));
      context.stroke();
    };
    context.save();
    context.beginPath();
    context.rect(left, top - 3, right - left, bottom - top + 6); // what lies lower or higher is cut off
    context.clip();
    context.setLineDash([5, 4]);
    trace(before, lines[0][2], colours.muted); // of the run before
    context.setLineDash([]);
    context.globalAlpha = PALE;
    for (const [, colour, , training] of lines) trace(history, training, colours[colour]);
    context.globalAlpha = 1;
    for (const [, colour, held_out] of lines) trace(history, held_out, colours[colour]);
    context.restore();
    return { left, right, end };
  }

  function curves(context, figure, run) { // nats above, the KL below
    const { colours } = figure, { history, before, data } = run;
    if (history.length < 2) {
      context.fillStyle = colours.muted;
      context.textAlign = "center";
      context.fillText("Curves are drawn here while the model learns.", figure.width / 2, figure.height / 2);
      return;
    }
    context.font = "12px sans-serif";
    const { elbo, fit, exact, kl } = bound, above = data.points ? [elbo, fit, exact] : [elbo, fit];
    const entries = [...above, kl].map(([name, colour]) => ({ name, colour: colours[colour] }));
    entries.push({ name: "training batches", colour: colours.ink, pale: true });
    if (before.length) entries.push({ name: "the run before", colour: colours.muted, dash: [5, 4] });
    const top = legend(context, figure, entries), bottom = figure.height - 22;
    const middle = top + 0.68 * (bottom - top);
    panel(context, figure, run, above, top + 6, middle - 8);
    const { left, right, end } = panel(context, figure, run, [kl], middle + 8, bottom - 4, [0, 0.1]);
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.beginPath();
    for (const y of [middle, bottom + 1]) {
      context.moveTo(left, y);
      context.lineTo(right, y);
    }
    context.stroke();
    context.fillStyle = colours.muted;
    context.textBaseline = "top";
    context.textAlign = "left";
    context.fillText("step 0", left, bottom + 6);
    context.textAlign = "right";
    context.fillText(`step ${end}`, right, bottom + 6);
  }

  function bars(context, figure, { kl }) { // the KL of each dimension; one that is not used is grey
    const { colours } = figure, most = Math.max(4, ...kl), step = (figure.width - 60) / Math.max(2, kl.length);
    context.font = "12px sans-serif";
    context.textAlign = "center";
    kl.forEach((nats, j) => {
      const used = nats >= 0.01, height = (figure.height - 40) * nats / most, x = 30 + j * step;
      context.fillStyle = used ? colours.purple : colours.muted;
      context.fillRect(x + 4, figure.height - 20 - Math.max(1, height), step - 8, Math.max(1, height));
      context.textBaseline = "bottom";
      context.fillText(used ? nats.toFixed(2) : "unused", x + step / 2, figure.height - 22 - Math.max(1, height));
      context.textBaseline = "top";
      context.fillText(`z${kl.length > 1 ? j + 1 : ""}`, x + step / 2, figure.height - 16);
    });
  }

  const shows = (name, { data }) => !(data.points ? ["manifold", "rows"] : ["world"]).includes(name);

  live.provide("lab-figures", { shows, plane, manifold, rows, world, curves, bars });
})();
