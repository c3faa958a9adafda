/* Eight devices against one, as the time of an image goes from a hundredth of a microsecond to a millisecond (eq-step-time). */
live.register("step-time", host => {
  const W = 8, fixed = 5e-4;
  const networks = { // parameters, and operations of an image there and back
    dense: { parameters: 652824, operations: 3280000 },
    conv: { parameters: 18716419, operations: 2791047168 },
  };
  const links = { machine: [1e-5, 1e11], network: [5e-5, 1e9] }; // seconds, bytes a second
  const rate = 4e13; // operations a second: the page's assumption of a GPU
  const cpu = 41.03; // measured: microseconds of an image of the dense network on two cores
  const gpu = () => 1e6 * networks[state.network].operations / rate;
  const state = { power: Math.log10(5), batch: "256", network: "dense", link: "machine" };

  function step(n, t1) {
    const [latency, bytes] = links[state.link];
    const sent = 4 * networks[state.network].parameters / (n * bytes);
    return fixed + state.batch * t1 / n + 2 * (n - 1) * (latency + sent);
  }
  const gain = power => step(1, 10 ** power / 1e6) / step(W, 10 ** power / 1e6);
  function numbers() {
    const t1 = 10 ** state.power / 1e6, [latency, bytes] = links[state.link];
    const sent = 8 * networks[state.network].parameters / bytes;
    return {
      t1, alone: step(1, t1), together: step(W, t1), gain: gain(state.power),
      best: Math.sqrt(Math.max(1, (state.batch * t1 - sent) / (2 * latency))),
      pays: (2 * W * latency + sent) / state.batch, // eq-when-it-pays: from this time of an image on
      gpu: gpu() / 1e6, cpu: state.network === "dense" ? cpu / 1e6 : null,
    };
  }
  const two = v => v >= 99.5 ? String(Math.round(v)) : String(Number(v.toPrecision(2)));
  const time = s => s < 9.95e-5 ? `${two(1e6 * s)} \u00b5s` : `${two(1e3 * s)} ms`;

  const curve = live.canvas(host, {
    width: 640, height: 246, x: [-2, 3], y: [0, 8], margin: [38, 16, 32, 26],
    label: "How many times as fast eight devices are as one, against the time of an image. Drag the point, or use the arrow keys.",
  }, (context, figure) => {
    const { px, py, colours } = figure;
    context.lineWidth = 1;
    for (const y of [1, 2, 4, 6, 8]) {
      context.strokeStyle = colours.line;
      context.setLineDash(y === 1 ? [] : [2, 4]);
      context.beginPath();
      context.moveTo(px(-2), py(y));
      context.lineTo(px(3), py(y));
      context.stroke();
      context.fillStyle = colours.muted;
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(y, px(-2) - 6, py(y));
    }
    context.setLineDash([]);
    context.textBaseline = "top";
    const narrow = figure.width < 420;
    for (let v = -2; v <= 3; v++) {
      if (narrow && (v === -1 || v === 2)) continue; // their names would touch
      context.textAlign = v === -2 ? "left" : v === 3 ? "right" : "center";
      context.fillText(time(10 ** v / 1e6), px(v), py(0) + 6);
    }
    const marks = [[gpu(), "a GPU, assumed", colours.green, 2]];
    if (state.network === "dense") marks.push([cpu, "two cores, measured", colours.purple, 18]);
    context.lineWidth = 2;
    for (const [at, name, colour, above] of marks) {
      context.strokeStyle = context.fillStyle = colour;
      context.setLineDash([5, 4]);
      context.beginPath();
      context.moveTo(px(Math.log10(at)), py(0));
      context.lineTo(px(Math.log10(at)), py(8) - above);
      context.stroke();
      context.setLineDash([]);
      context.textAlign = at > 1 ? "right" : "left";
      context.textBaseline = "bottom";
      context.fillText(name, px(Math.log10(at)) + (at > 1 ? -5 : 5), py(8) - above + 2);
    }
    live.curve(context, figure, gain, colours.blue);
    live.grip(context, figure, state.power, gain(state.power), colours.blue, "");
  });

  const say = live.readout(host);
  const sliders = live.row(host), choices = live.row(host);
  const shows = [
    live.slider(sliders, state, "power", {
      label: "time of an image t\u2081", min: -2, max: 3, step: 0.05, format: v => time(10 ** v / 1e6),
    }, update),
    live.choice(choices, state, "batch", { label: "batch B", options: [["256", "256"], ["4096", "4,096"]] }, update),
    live.choice(choices, state, "network", {
      label: "network", options: [["dense", "the book\u2019s, dense"], ["conv", "convolutional"]],
    }, update),
    live.choice(choices, state, "link", {
      label: "connection", options: [["machine", "in one machine"], ["network", "between machines"]],
    }, update),
  ];
  const buttons = live.row(host);
  live.button(buttons, "Go to the GPU", () => {
    const from = state.power, to = Math.log10(gpu());
    live.animate(t => host.live.set({ power: from + (to - from) * t }));
  });

  function update() {
    for (const show of shows) show();
    const { t1, alone, together, gain, best, pays } = numbers();
    const verdict = gain < 1 ? `slower: ${gain.toFixed(2)} times as fast` : `${gain.toFixed(1)} times as fast`;
    say(`With t\u2081 = ${time(t1)} a step takes ${time(alone)} on one device and ${time(together)} on eight, which are ${verdict}.`
      + ` Eight pay from ${time(pays)} on; the best number here is ${two(best)}.`);
    curve.redraw();
  }

  live.drag(curve, [{
    get: () => [state.power, gain(state.power)],
    set: ([power]) => { state.power = power; update(); },
  }], { step: 0.05, flat: true });
  live.expose(host, state, { update, numbers, figures: [curve] });
});
