/* The lab: a VAE that learns before the reader's eyes (trainer.js computes, lab-run.js keeps the run, lab-figures.js paints).
   The box has data-lab and, renewed at least once a second, data-state: {steps, elbo, held_out_elbo, kl: [...], ...} as JSON;
   its buttons have a data-action. The setting is in the address. Boxes of class lab-set-NAME get a button that sets it up. */
live.register("lab", async host => {
  host.textContent = "Loading the digits \u2026";
  const files = ["lab-run", "lab-data", "lab-figures", "lab-experiments"];
  const [{ begin }, source, figures, experiments] = await Promise.all(files.map(live.load));

  // What can be set: the values that a control goes through; the first is where it begins. Those of `anew` begin a new run.
  const scales = {
    lr: [0.005, 0.0005, 0.001, 0.002, 0.01, 0.02, 0.1, 1, 100], batch: [32, 8, 16, 64, 128], width: [64, 16, 32, 128],
    latent: [2, 4, 8], beta: [1, 0, 0.001, 1 / 128, 0.03, 0.1, 0.3, 2, 4, 8, 16, 32, 64, 100],
    warmup: [0, 200, 500, 1000, 2000], draws: [1, 5, 20], across: [1, 2, 3, 4, 5, 6, 7, 8], up: [2, 1, 3, 4, 5, 6, 7, 8],
  };
  const choices = {
    data: source.names, activation: [["silu", "SiLU"], ["relu", "ReLU"], ["tanh", "tanh"]], likelihood: [["bernoulli", "Bernoulli"], ["gaussian", "Gaussian"]],
    sigma: [["learned", "learned"], ["1", "1"], ["0.3", "0.3"], ["0.1", "0.1"]],
    objective: [["elbo", "ELBO"], ["iwae", "importance-weighted"]], noise: [["on", "on"], ["off", "off: z = \u03bc"]],
    mistake: [["none", "none"], ["kl-averaged", "KL averaged over the batch, cross-entropy summed"], ["kl-forgotten", "KL forgotten"],
      ["std-for-variance", "standard deviation taken for variance"]],
  };
  const anew = ["data", "width", "activation", "latent", "likelihood", "sigma", "seed", "points"];
  const defaults = { ...Object.fromEntries(Object.entries(scales).map(([key, values]) => [key, values[0]])),
    ...Object.fromEntries(Object.entries(choices).map(([key, options]) => [key, options[0][0]])),
    seed: 1, ellipses: false, points: "" };
  const state = { ...defaults, ...read(new URLSearchParams(location.search)) };
  host.textContent = "";
  host.dataset.lab = "";

  function allowed(key, value) {
    if (scales[key]) return scales[key].includes(value);
    if (choices[key]) return choices[key].some(([option]) => option === value);
    return key === "seed" ? Number.isInteger(value) && value > 0 && value < 1e6 : key in defaults;
  }
  function read(query) { // what the address asks for, as far as there is such a thing
    const found = {};
    for (const [key, text] of query) {
      const value = key === "ellipses" ? text === "true" : scales[key] || key === "seed" ? Number(text) : text;
      if (key in defaults && allowed(key, value)) found[key] = value;
    }
    return found;
  }
  function write() {
    const query = new URLSearchParams(Object.entries(state).filter(([key, value]) => value !== defaults[key]));
    history.replaceState(null, "", (query.size ? `?${query}` : location.pathname) + location.hash);
  }

  let run, running = false, busy = false; // busy: a run is being made
  async function reset() {
    pause();
    busy = true;
    const last = run?.model.steps > 100 ? run : null; // to compare with
    state.across = Math.min(state.across, state.latent);
    state.up = Math.min(state.up, state.latent);
    run = await begin(state, source.read(state.points));
    if (last) past.textContent = `The run before: ${sentence(last)}`;
    run.before = last?.data.points === run.data.points ? last.history : [];
    busy = false;
    show();
  }

  // What is seen

  const top = live.row(host), buttons = {};
  top.classList.add("lab-actions");
  for (const [action, text] of [["run", "Train"], ["pause", "Pause"], ["step", "One step"], ["reset", "Start anew"]]) {
    buttons[action] = live.button(top, text, () => acts[action]());
    buttons[action].dataset.action = action;
  }
  const data = choice(top, "data", "data"), say = live.readout(host), past = document.createElement("p"), pair = live.row(host);
  past.className = "lab-past";
  pair.before(past);
  pair.className = "live-pair live-twins";
  const [left, right] = [live.row(pair), live.row(pair)];
  const square = { width: 340, height: w => w }, plain = { ...square, margin: [0, 0, 0, 0] }, edges = [-source.EDGE, source.EDGE];
  const view = (parent, name, size, label) => live.canvas(parent, { ...size, label }, (context, figure) => {
    if (run && figures.shows(name, run)) figures[name](context, figure, run, state);
  });
  const views = {
    plane: view(left, "plane", { ...square, margin: [4, 4, 26, 4] }, "The codes of held-out data."),
    manifold: view(right, "manifold", plain, "What the decoder draws on an even grid of the plane."),
    world: view(right, "world", { ...plain, x: edges, y: edges }, "The plane of the data: points, the model's density and the decoder's curve."),
    curves: view(host, "curves", { width: 700, height: 250 }, "The ELBO, log p(x|z) and the KL of held-out and of training data, over the steps."),
    rows: view(host, "rows", { width: 576, height: w => 3 * (w - 96) / 10 + 8 }, "Ten held-out digits, what is rebuilt of them, and ten images from the prior."),
    bars: view(host, "bars", { width: 420, height: 110 }, "The KL of each latent dimension."),
  };
  const names = Object.keys(views), visible = () => names.filter(name => figures.shows(name, run));

  const settings = document.createElement("details");
  settings.append(Object.assign(document.createElement("summary"), { textContent: "What can be turned" }));
  host.append(settings);
  const grid = live.row(settings), ofDigits = live.row(settings), last = live.row(settings);
  const controls = [
    data, scale(grid, "lr", "learning rate"), scale(grid, "beta", "\u03b2", v => (v === 1 / 128 ? "1/128" : v)),
    choice(grid, "noise", "noise of q"), scale(grid, "warmup", "warm-up of \u03b2, steps"), scale(grid, "width", "hidden width"),
    scale(grid, "batch", "batch"), choice(grid, "objective", "objective"), scale(grid, "draws", "draws of z, K"),
    choice(grid, "sigma", "\u03c3 of a Gaussian likelihood"), live.number(grid, state, "seed", { label: "seed", whole: true }, () => turned("seed")),
    choice(grid, "mistake", "a famous mistake"), choice(ofDigits, "activation", "activation"), scale(ofDigits, "latent", "latent dimensions"), choice(ofDigits, "likelihood", "likelihood of digits"),
    scale(ofDigits, "across", "dimension across"), scale(ofDigits, "up", "dimension up"),
  ];
  const ellipses = live.button(ofDigits, "Ellipses of q", () => { state.ellipses = !state.ellipses; turned("ellipses"); });
  live.button(last, "Download this model", download).dataset.action = "download";

  function choice(parent, key, label) {
    return live.choice(parent, state, key, { label, options: choices[key] }, () => turned(key));
  }
  function scale(parent, key, label, format = v => v) { // a slider through the values, in their order
    const values = [...scales[key]].sort((a, b) => a - b);
    const place = { get index() { return values.indexOf(state[key]); }, set index(i) { state[key] = values[i]; } };
    const range = { label, min: 0, max: values.length - 1, step: 1, format: i => String(format(values[i])) };
    return live.slider(parent, place, "index", range, () => turned(key));
  }
  function turned(key) {
    write();
    if (anew.includes(key)) reset();
    else show();
  }

  function show() { // everything, once
    if (busy) return;
    for (const control of controls) control();
    ofDigits.hidden = run.data.points;
    ellipses.setAttribute("aria-pressed", state.ellipses);
    buttons.run.disabled = running || run.fault !== "";
    buttons.pause.disabled = !running;
    const there = visible();
    for (const name of names) {
      views[name].element.hidden = !there.includes(name);
      if (there.includes(name)) views[name].redraw();
    }
    tell();
  }
  let pace = 0; // steps a second
  function renew() {
    host.dataset.state = JSON.stringify({ running, pace: Math.round(pace), ...run.report() });
  }
  function sentence(of) {
    const report = of.report(), { points } = of.data, named = of.vote();
    const nats = v => `${v.toFixed(points ? 2 : 1).replace("-", "\u2212")} nats`, parts = [`step ${report.steps}`];
    if (report.held_out_elbo !== null) parts.push(`held-out ELBO ${nats(report.held_out_elbo)}`);
    if (points) parts.push(`exact log p(x) ${nats(report.log_p)}`, `gap ${nats(report.gap)}`, `\u03c3 ${report.sigma.toFixed(2)}`);
    else parts.push(`KL ${nats(report.kl.reduce((a, b) => a + b, 0))}`);
    if (named !== null) parts.push(`ten neighbours in the plane name ${Math.round(100 * named)} %`);
    return `${parts.join("; ")}.`;
  }
  function tell() {
    renew();
    let text = sentence(run);
    if (state.warmup) text += ` The weight of the KL is ${run.beta().toFixed(2)} now.`;
    if (running && pace) text += ` ${Math.round(pace)} steps a second.`;
    if (state.data === "drawn" && !run.data.own) text += " Draw your own points in the right picture, sixteen or more.";
    say(run.fault || text[0].toUpperCase() + text.slice(1));
  }

  // The loop: each frame does one job in turn, and learns in what time that leaves of it; on a slow machine about as long

  const calm = matchMedia("(prefers-reduced-motion: reduce)"); // then the pictures move at the reader's word alone
  const FRAME = 15, LEAST = 8, MOST = 24, costs = {}; // milliseconds; costs: what each job took the last time
  let turn = 0, told = 0, renewed = 0, before = 0;
  function frame(now) {
    if (!running) return;
    const there = calm.matches ? [] : visible(), place = turn++ % (2 * there.length || 1);
    const job = place % 2 === 0 ? "slice" : there[(place - 1) / 2];
    const cost = costs[job] ?? FRAME / 2, until = Math.max(LEAST, FRAME - cost, Math.min(MOST, cost));
    const start = performance.now();
    let end = start, took;
    do { // as long as one more step would fit
      run.step();
      took = performance.now() - end;
      end += took;
    } while (!run.fault && end + took - start < until);
    if (run.fault) running = false;
    else if (job === "slice") run.slice();
    else views[job].draw();
    costs[job] = performance.now() - end;
    if (now - renewed > 500) {
      pace = 1000 * (run.model.steps - before) / (now - renewed);
      [renewed, before] = [now, run.model.steps];
      renew();
    }
    if (now - told > 2000) { // seldom, for it is spoken
      told = now;
      tell();
    }
    if (running) requestAnimationFrame(frame);
    else show();
  }
  function pause() {
    if (!running) return;
    running = false;
    run.measure();
    show();
  }
  const acts = {
    run() {
      if (running || busy || run.fault) return;
      running = true;
      renewed = performance.now();
      told = renewed - 1200; // the first word after less than a second
      pace = 0;
      before = run.model.steps;
      show();
      requestAnimationFrame(frame);
    },
    pause,
    step() {
      pause();
      if (!run.fault) run.step();
      if (!run.fault) run.measure();
      show();
    },
    reset,
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) pause(); });

  // The reader's own points

  const { element } = views.world;
  let stroke = null;
  element.addEventListener("pointerdown", event => {
    if (state.data !== "drawn") return;
    element.setPointerCapture(event.pointerId);
    stroke = [...source.read(state.points)];
    draw(event);
  });
  element.addEventListener("pointermove", event => { if (stroke) draw(event); });
  for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => {
    if (!stroke) return;
    state.points = source.write(stroke.slice(-300));
    stroke = null;
    turned("points");
  });
  function draw(event) {
    const [x, y] = views.world.at(event.offsetX, event.offsetY);
    stroke.push([x, y]);
    live.dot(element.getContext("2d"), event.offsetX, event.offsetY, 2, views.world.colours.red);
  }

  function download() {
    const address = URL.createObjectURL(new Blob([JSON.stringify(run.file())], { type: "application/json" }));
    Object.assign(document.createElement("a"), { download: "lab-model.json", href: address }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  async function setUp(name) {
    Object.assign(state, defaults, experiments[name]);
    write();
    await reset();
  }
  for (const name of Object.keys(experiments)) { // a button in the box of each experiment
    for (const box of document.querySelectorAll(`.lab-set-${name}`)) {
      const row = live.row(box);
      row.className = "live-body";
      live.button(row, "Set the lab up", async () => {
        await setUp(name);
        settings.open = true;
        top.scrollIntoView({ block: "start" });
        buttons.run.focus({ preventScroll: true });
      }).dataset.action = `set-${name}`;
    }
  }
  await reset();
  live.expose(host, state, {
    update: () => { write(); show(); },
    numbers: () => ({ ...run.report(), vote: run.vote(), distance: run.distance() }),
    figures: Object.values(views),
  });
  Object.assign(host.live, { setUp, reset, run: () => run });
});
