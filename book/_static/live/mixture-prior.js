/* Diagonal Gaussians fitted to points of a cloud by expectation-maximisation, and what they gain as a prior over N(0, I)
   (eq-mixture-prior, eq-prior-gain). As the aggregate posterior, a cloud is itself a mean of Gaussians, with known density. */
live.register("mixture-prior", async host => {
  const { answers, draw, logDensity, mean, begin, step } = await live.load("mixture");
  const LAST = 60, MOST = 12, N_NEW = 2000, BRUSH = 0.2, EDGE = 3.3;
  const state = { cloud: "ring", n: 40, m: 6, steps: 0, draw: 1, start: 1, own: [], pen: [0, 0], down: false };
  const list = (n, f) => Array.from({ length: n }, (_, i) => f(i));
  const turn = (radius, share) => [radius * Math.cos(2 * Math.PI * share), radius * Math.sin(2 * Math.PI * share)];

  const clouds = {
    ring: answers(0.2, list(60, i => turn(1.4, i / 60))),
    lanes: answers(0.12, list(60, i => turn(Math.sqrt(-2 * Math.log((Math.floor(i / 6) + 0.5) / 10)), (i % 6) / 6))),
    heaps: answers(0.35, list(3, i => turn(1.3, i / 3 + 0.25))),
    standard: answers(1, [[0, 0]]),
  };

  let data = {}, fits = {}; // points, and per number of Gaussians the fits after 0, 1, ... steps
  function look() {
    const drawn = JSON.stringify([state.cloud, state.draw, state.cloud === "own" && state.own]);
    const key = [drawn, state.n, state.start].join();
    if (data.key === key) return;
    if (data.drawn !== drawn) {
      const cloud = clouds[state.cloud] ?? answers(BRUSH, state.own);
      const [some, fresh] = [200, N_NEW].map((n, i) => draw(cloud, cloud.length && n, live.random(2 * state.draw + i)));
      const standard = mean(clouds.standard, fresh);
      data = { drawn, cloud, some, fresh, standard, best: mean(cloud, fresh) - standard };
    }
    const points = data.some.slice(0, state.n);
    Object.assign(data, { key, points, under: mean(clouds.standard, points) });
    fits = {};
  }
  function path(m, steps) { // the fits until then, or until a step brings nothing
    const all = fits[m] ??= [], last = () => all.at(-1);
    const push = mixture => all.push({ mixture, log: mean(mixture, data.points) });
    if (!all.length) push(begin(data.points, m, live.random(state.start)));
    while (all.length <= Math.min(steps, LAST) && !(last().log - all.at(-2)?.log < 1e-4)) push(step(last().mixture, data.points));
    return all;
  }
  function gains(fit) {
    fit.fresh ??= mean(fit.mixture, data.fresh) - data.standard;
    return [fit.log - data.under, fit.fresh];
  }
  const now = () => { const all = path(state.m, state.steps); return all[Math.min(state.steps, all.length - 1)]; };
  const ends = () => list(MOST, i => gains(path(i + 1, LAST).at(-1)));
  const numbers = () => {
    const { points, fresh, cloud, under, best } = data, strip = ({ weight, mu, sigma }) => ({ weight, mu, sigma });
    if (!points.length) return { points };
    const [gain, gainNew] = gains(now()), logs = path(state.m, state.steps).slice(0, state.steps + 1).map(fit => fit.log);
    return { points, fresh, cloud: cloud.map(strip), mixture: now().mixture.map(strip),
      under, log: now().log, gain, gainNew, best, logs, ends: ends() };
  };

  const plane = live.canvas(host, {
    width: 460, height: width => width, x: [-EDGE, EDGE], y: [-EDGE, EDGE], margin: [4, 4, 26, 4],
    label: "The plane with points of a cloud and the Gaussians of the prior. Draw a cloud of your own: arrow keys move the brush,"
      + " Shift in larger steps; the space bar puts it down and lifts it.",
  }, (context, figure) => {
    const { px, py, colours, element } = figure, unit = px(1) - px(0);
    context.save();
    context.rect(px(-EDGE), py(EDGE), px(EDGE) - px(-EDGE), py(-EDGE) - py(EDGE));
    context.clip();
    if (data.points.length) live.shade(context, figure, z => Math.exp(logDensity(now().mixture, z)), colours.blue);
    context.fillStyle = colours.ink;
    context.globalAlpha = 0.35;
    for (const [a, b] of data.fresh.slice(0, 1000)) context.fillRect(px(a) - 0.7, py(b) - 0.7, 1.4, 1.4);
    context.globalAlpha = 1;
    const ellipse = ([a, b], [s, t]) => {
      context.beginPath();
      context.ellipse(px(a), py(b), 2 * s * unit, 2 * t * unit, 0, 0, 2 * Math.PI);
      context.stroke();
    };
    context.strokeStyle = colours.muted;
    context.setLineDash([5, 4]);
    context.lineWidth = 1.5;
    ellipse([0, 0], [1, 1]);
    context.setLineDash([]);
    for (const [a, b] of data.points) live.dot(context, px(a), py(b), 4, colours.red);
    context.strokeStyle = colours.blue;
    if (data.points.length) {
      for (const { weight, mu, sigma } of now().mixture) {
        context.lineWidth = 1 + Math.min(2, 2 * weight * state.m);
        ellipse(mu, sigma);
      }
    } else {
      context.fillStyle = colours.muted;
      context.textAlign = "center";
      context.fillText("draw here", px(0), py(0));
    }
    if (element.matches(":focus-visible")) live.dot(context, px(state.pen[0]), py(state.pen[1]), state.down ? 9 : 6, colours.purple);
    context.restore();
    live.axis(context, figure, "");
  });

  const curves = live.canvas(host, {
    width: 640, height: 220, x: [0.5, 12.5], y: [-2, 3], margin: [8, 12, 28, 32],
    label: "The gain of the prior against its number of Gaussians: on the points it was fitted to, on new points, and the most"
      + " that any prior can gain.",
  }, (context, figure) => {
    const { px, py, x, y, colours } = figure, level = v => py(Math.max(y[0], Math.min(y[1], v)));
    live.axis(context, figure, "");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let v = y[0]; v <= y[1]; v++) context.fillText(String(v).replace("-", "\u2212"), px(x[0]) - 8, py(v));
    context.textAlign = "left";
    context.fillText("M", px(x[0]) + 2, py(y[0]) + 13);
    const write = (text, v, base) => { context.textBaseline = base; context.fillText(text, px(x[0]) + 4, level(v)); };
    const line = (points, colour, dash) => {
      context.strokeStyle = context.fillStyle = colour;
      context.setLineDash(dash);
      context.beginPath();
      for (const [a, b] of points) context.lineTo(px(a), level(b));
      context.stroke();
      context.setLineDash([]);
    };
    line(x.map(a => [a, 0]), colours.muted, []);
    write("N(0, I)", -0.1, "top");
    if (!data.points.length) return;
    line(x.map(a => [a, data.best]), colours.ink, [4, 4]);
    write("the best prior", data.best + 0.1, "bottom");
    const all = ends(), both = gains(now());
    [[colours.red, "gain on these points, in nats"], [colours.blue, "gain on new points"]].forEach(([colour, text], k) => {
      line(all.map((pair, i) => [i + 1, pair[k]]), colour, []);
      live.dot(context, px(state.m), level(both[k]), 6, colour);
      write(text, y[1] - 0.6 * k, "top");
    });
  });

  const say = live.readout(host), row = live.row(host), again = () => { state.steps = 0; update(); };
  const options = [["ring", "a ring"], ["lanes", "lanes of codes"], ["heaps", "three heaps"],
    ["standard", "N(0, I) itself"], ["own", "your own drawing"]];
  const shows = [
    live.choice(row, state, "cloud", { label: "cloud", options }, again),
    live.slider(row, state, "n", { label: "points n", min: 20, max: 200, step: 20, format: String }, again),
    live.slider(row, state, "m", { label: "Gaussians M", min: 1, max: MOST, step: 1, format: String }, again),
  ];
  const buttons = live.row(host);
  const act = (text, change) => live.button(buttons, text, () => { if (data.points.length) change(); });
  act("One step", () => { state.steps = Math.min(state.steps, path(state.m, state.steps).length - 1) + 1; update(); });
  act("Fit", () => {
    const from = state.steps, to = path(state.m, LAST).length - 1, current = fits;
    live.animate(t => { if (current === fits) { state.steps = Math.round(from + (to - from) * t); update(); } });
  });
  act("Start anew", () => { state.start += 1; again(); });
  act("New points", () => { state.draw += 1; again(); });
  live.button(buttons, "Clear", () => { Object.assign(state, { cloud: "own", own: [], down: false }); again(); });

  function touch(z) { // the cloud is blurred around what is drawn
    if (state.cloud !== "own") Object.assign(state, { cloud: "own", own: [] });
    const close = state.own.some(([a, b]) => Math.hypot(a - z[0], b - z[1]) < 0.12);
    if (!close && state.own.length < 150) state.own = [...state.own, z];
    Object.assign(state, { pen: z, steps: 0 });
  }
  live.pen(plane, state, 0.1, { draw: touch, moved: update });

  function update() {
    for (const show of shows) show();
    look();
    const brush = state.down ? "Brush down. " : "", nats = v => v.toFixed(2).replace("-", "\u2212");
    if (!data.points.length) say(`${brush}Draw a cloud in the plane: its points are taken from what you draw.`);
    else {
      const [gain, gainNew] = gains(now()), steps = Math.min(state.steps, path(state.m, state.steps).length - 1);
      say(`${brush}After ${steps} step${steps === 1 ? "" : "s"}, the mean log density of the ${state.n} points is ${nats(now().log)} nats, under`
        + ` N(0, I) ${nats(data.under)}: a gain of ${nats(gain)}. On ${N_NEW.toLocaleString("en")} new points of the cloud the`
        + ` gain is ${nats(gainNew)}, and the best prior\u2019s ${nats(data.best)}.`);
    }
    for (const figure of [plane, curves]) figure.redraw();
  }
  live.expose(host, state, { update, numbers, figures: [plane, curves] });
});
