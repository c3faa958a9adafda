/* Draw a digit: the encoder of mnist-2d answers with q(z|x) (eq-encoder), and the decoder draws what it has understood. */
live.register("draw-a-digit", async host => {
  const tool = await live.load("plane"), [digits, encode, decode] = await tool.models(host, "encoder", "decoder");
  const { examples, labels } = digits, SIDE = 28, PEN = 2.6, N = 6;
  const normal = live.random(3), noise = Array.from({ length: N }, () => [live.normal(normal), live.normal(normal)]);
  const state = { example: "6", strokes: [], pen: [0.5, 0.25], down: false }; // strokes: lists of [x, y] in [0, 1]

  // As MNIST was made: the drawing fills a box of 20 x 20, its centre of mass lies in the middle of 28 x 28.
  function normalise(strokes) {
    const all = strokes.flat(), blank = new Float32Array(SIDE * SIDE);
    if (!all.length) return blank;
    const [left, top] = [0, 1].map(j => Math.min(...all.map(p => p[j])));
    const [right, bottom] = [0, 1].map(j => Math.max(...all.map(p => p[j])));
    const scale = Math.min(60, (20 - PEN) / Math.max(right - left, bottom - top)); // a dot stays a dot
    const place = (x, y) => strokes.map(s => s.map(p => [x + scale * (p[0] - left), y + scale * (p[1] - top)]));
    const middle = [(SIDE - scale * (right - left)) / 2, (SIDE - scale * (bottom - top)) / 2];
    const ink = trace(place(...middle)), total = ink.reduce((a, b) => a + b);
    const mass = (of) => ink.reduce((sum, v, i) => sum + v * (of(i) + 0.5), 0) / total;
    const x = mass(i => i % SIDE), y = mass(i => Math.floor(i / SIDE)), centre = SIDE / 2 + 0.5; // where MNIST's is
    return trace(place(middle[0] + centre - x, middle[1] + centre - y));
  }

  // Each pixel's ink by its distance to the line: full inside the pen's width, none half a pixel outside it.
  function trace(strokes) {
    const ink = new Float32Array(SIDE * SIDE), reach = PEN / 2 + 0.5;
    for (const stroke of strokes) {
      stroke.forEach(([bx, by], k) => {
        const [ax, ay] = stroke[Math.max(0, k - 1)], [dx, dy] = [bx - ax, by - ay], length2 = dx * dx + dy * dy || 1;
        const range = (a, b) => [Math.max(0, Math.floor(Math.min(a, b) - reach)), Math.min(SIDE, Math.ceil(Math.max(a, b) + reach))];
        const [left, right] = range(ax, bx), [top, bottom] = range(ay, by);
        for (let row = top; row < bottom; row++) for (let column = left; column < right; column++) {
          const x = column + 0.5 - ax, y = row + 0.5 - ay;
          const t = Math.min(1, Math.max(0, (x * dx + y * dy) / length2));
          const distance = Math.hypot(x - t * dx, y - t * dy), i = row * SIDE + column;
          ink[i] = Math.max(ink[i], Math.min(1, Math.max(0, reach - distance)));
        }
      });
    }
    return ink;
  }

  let now; // what the networks make of the drawing
  function look() {
    const seen = state.example === "own" ? normalise(state.strokes) : examples[state.example].pixels;
    const { mu, logvar } = encode(seen), sigma = logvar.map(l => Math.exp(l / 2));
    const kl = 0.5 * mu.reduce((sum, m, j) => sum + m * m + sigma[j] ** 2 - 1 - logvar[j], 0); // eq-gaussian-kl
    const samples = noise.map(eps => eps.map((e, j) => mu[j] + sigma[j] * e)); // eq-reparameterization
    now = { seen, mu, sigma, logvar, kl, samples, mean: decode(mu), decoded: samples.map(decode) };
  }
  const numbers = () => Object.fromEntries(
    ["seen", "mu", "logvar", "kl", "samples", "mean"].map(key => [key, now[key].length ? [...now[key]] : now[key]]));

  const pair = live.row(host), left = live.row(pair), right = live.row(pair);
  pair.className = "live-pair live-pad";
  left.className = right.className = "";

  const pad = live.canvas(left, {
    width: 280, height: width => width, x: [0, 1], y: [1, 0], margin: [0, 0, 0, 0],
    label: "Drawing area. Arrow keys move the pen, Shift in larger steps; the space bar puts it down and lifts it.",
  }, (context, { width, colours, px, py, element }) => {
    if (state.example !== "own") tool.picture(context, examples[state.example].pixels, 0, 0, width, colours);
    context.strokeStyle = context.fillStyle = colours.ink;
    context.lineWidth = width * 0.075;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of state.strokes) {
      context.beginPath();
      for (const [x, y] of [stroke[0], ...stroke]) context.lineTo(px(x), py(y));
      context.stroke();
    }
    context.lineWidth = 1;
    context.strokeStyle = colours.line;
    context.strokeRect(0.5, 0.5, width - 1, width - 1);
    if (state.example === "own" && !state.strokes.length) {
      context.textAlign = "center";
      context.fillStyle = colours.muted;
      context.fillText("draw here", width / 2, width / 2);
    }
    if (document.activeElement === element && element.matches(":focus-visible")) {
      live.dot(context, px(state.pen[0]), py(state.pen[1]), state.down ? 8 : 5, colours.red);
    }
  });

  function touch(point, begins) {
    if (state.example !== "own") Object.assign(state, { example: "own", strokes: [] });
    if (begins || !state.strokes.length) state.strokes.push([]);
    state.strokes.at(-1).push(point);
    state.pen = point;
  }
  live.pen(pad, state, 0.02, { draw: touch, moved: update });

  const controls = live.row(left);
  const showExample = live.choice(controls, state, "example",
    { label: "use an example digit", options: [["own", "your own drawing"], ...tool.names(examples)] }, () => {
      state.strokes = [];
      update();
    });
  live.button(controls, "clear", () => { Object.assign(state, { example: "own", strokes: [] }); update(); });

  function ellipses(context, { px, py }, colours) { // 1 and 2 sigma
    context.strokeStyle = colours.ink;
    context.lineWidth = 2;
    for (const radius of [1, 2]) {
      context.beginPath();
      const [a, b] = [px(radius * now.sigma[0]) - px(0), py(0) - py(radius * now.sigma[1])];
      context.ellipse(px(now.mu[0]), py(now.mu[1]), a, b, 0, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  // In the corner away from mu: the surroundings of mu, enlarged so that the ellipses can be seen.
  function lens(context, figure) {
    const { colours, width } = figure, [m1, m2] = now.mu, size = Math.round(width * 0.32);
    const x = m1 > 0 ? 2 : width - size - 2, y = m2 > 0 ? width - size - 30 : 2;
    const scale = size / (7 * Math.max(...now.sigma));
    const inside = { px: z => x + size / 2 + scale * (z - m1), py: z => y + size / 2 - scale * (z - m2) };
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(figure.px(m1), figure.py(m2));
    context.lineTo(x + size / 2, y + size / 2);
    context.stroke();
    context.fillStyle = colours.paper;
    context.fillRect(x, y, size, size);
    context.strokeRect(x, y, size, size);
    context.save();
    context.beginPath();
    context.rect(x, y, size, size);
    context.clip();
    figure.glyphs(context, inside, 11, [x, y, x + size, y + size]);
    ellipses(context, inside, colours);
    for (const [z1, z2] of now.samples) live.dot(context, inside.px(z1), inside.py(z2), 3, colours.red);
    context.restore();
    context.font = `13px ${getComputedStyle(figure.element).fontFamily}`;
    context.textAlign = "left";
    context.textBaseline = "top";
    context.fillStyle = colours.paper;
    context.fillRect(x + 1, y + 1, 42, 18);
    context.fillStyle = colours.ink;
    context.fillText(`\u00d7 ${Math.round(scale / (figure.px(1) - figure.px(0)))}`, x + 4, y + 4);
  }

  const plane = tool.plane(right, host, digits,
    "The latent plane with the codes of 2,000 test digits, and q of the drawing: ellipses of one and two sigma, enlarged in a corner.",
    (context, figure) => {
      lens(context, figure);
      ellipses(context, figure, figure.colours);
      context.lineWidth = 2;
      context.strokeStyle = figure.colours.ink;
      context.beginPath();
      context.arc(figure.px(now.mu[0]), figure.py(now.mu[1]), 9, 0, 2 * Math.PI);
      context.stroke();
    });

  const below = live.row(pair), columns = width => (width < 480 ? 4 : 2 + N);
  below.className = "";
  const strip = live.canvas(below, {
    width: 680, height: width => (2 + N) / columns(width) * (width / columns(width) + 20),
    label: "What the encoder sees, what the decoder makes of mu, and of six draws from q.",
  }, (context, { width, colours }) => {
    const side = width / columns(width);
    const named = [["seen", now.seen], ["from \u03bc", now.mean], ...now.decoded.map((p, i) => [`draw ${i + 1}`, p])];
    named.forEach(([name, pixels], i) => {
      const x = side * (i % columns(width)), y = (side + 20) * Math.floor(i / columns(width));
      tool.picture(context, pixels, x + 2, y + 18, side - 4, colours);
      context.fillStyle = colours.muted;
      context.textAlign = "left";
      context.textBaseline = "top";
      context.fillText(name, x + 3, y + 2);
    });
  });

  const say = live.readout(host);
  function update() {
    look();
    showExample();
    const both = (values, digits) => `(${[...values].map(v => tool.signed(v, digits)).join(", ")})`;
    say(`${state.down ? "Pen down. " : ""}\u03bc = ${both(now.mu, 2)}, \u03c3 = ${both(now.sigma, 3)},`
      + ` KL(q \u2016 p) = ${now.kl.toFixed(2)} nats. The nearest test digit is ${tool.a(labels[plane.nearest([...now.mu])])}.`);
    for (const figure of [pad, plane, strip]) figure.redraw();
  }
  live.expose(host, state, { update, numbers, figures: [pad, plane, strip] });
});
