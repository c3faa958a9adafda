/* A plane of codes of molecules, coloured by their gaps: at a point the decoder writes a string (eq-token-likelihood).
   Drawings were made beforehand, of molecules that are known: tools/live_molecules.py says of which. */
live.register("molecules", async host => {
  host.textContent = "Loading the trained decoder \u2026";
  const files = ["plane", "gru", "molecules-plane-decoder", "molecules-plane-codes"];
  const [tool, { read }, exported, known] = await Promise.all(files.map(file => live.load(file)));
  const { tokens, write, gap } = await read(exported);
  host.textContent = "";

  const EDGE = 3.8, LOW = 4, HIGH = 10; // of the plane, and of the colours in eV: they have 99 of 100 molecules
  const codes = tool.points(known.codes, known.unit), gaps = tool.points(known.gaps, 0.01).flat();
  const drawn = known.drawn.map(([i, string, ...paths]) => ({ string, paths, code: codes[i], gap: gaps[i] }));
  const written = new Map(known.written.map(([string, set, ...paths]) => [string, { set, paths }]));
  const state = { z1: 0.6, z2: 1.2, how: "likeliest", seed: 1 };

  const likeliest = p => p.reduce((best, v, i) => (v > p[best] ? i : best), 0);
  function drawing(seed) {
    const next = live.random(seed);
    return p => {
      let left = next();
      const i = p.findIndex(v => (left -= v) < 0);
      return i < 0 ? likeliest(p) : i; // rounding may leave a rest
    };
  }

  let told, toldOf; // of the point that is shown, computed once
  function numbers() {
    const z = [state.z1, state.z2], key = [z, state.how, state.seed].join();
    if (key === toldOf) return told;
    toldOf = key;
    const row = write(z, state.how === "drawn" ? drawing(state.seed) : likeliest);
    const string = row.map(({ token }) => tokens[token]).join("");
    const away = ({ code }) => Math.hypot(code[0] - z[0], code[1] - z[1]);
    const near = drawn.map(d => ({ ...d, distance: away(d) })).sort((a, b) => a.distance - b.distance);
    const own = near.find(d => d.string === string);
    return told = {
      z, row, string, ended: row.at(-1).token === 0, logP: row.reduce((sum, { token, p }) => sum + Math.log(p[token]), 0),
      gap: gap(z), noise: gap.noise, nearest: near.slice(0, 3), own, set: own ? "drawn" : written.get(string)?.set,
    };
  }

  const ramp = (light, t) => `oklch(${Number(light) + 0.3 * t - 0.15} 0.14 ${265 + 160 * t})`; // blue, red, yellow
  const share = eV => Math.min(1, Math.max(0, (eV - LOW) / (HIGH - LOW)));
  const light = () => getComputedStyle(host).getPropertyValue("--live-light");
  function ring(context, x, y, colour) {
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, 6, 0, 2 * Math.PI);
    context.stroke();
  }

  const top = live.row(host);
  const showHow = live.choice(top, state, "how",
    { label: "each token is", options: [["likeliest", "the likeliest"], ["drawn", "drawn by its probability"]] }, update);
  live.button(top, "draw anew", () => { state.how = "drawn"; state.seed++; update(); });
  const pair = live.row(host), left = live.row(pair), right = live.row(pair);
  pair.className = "live-pair";
  left.className = right.className = "";

  const plane = tool.plane(left, null, { labels: "", codes },
    "The plane with the codes of 2,000 kept molecules. Drag the point, or use the arrow keys; Shift takes larger steps.",
    (context, figure) => {
      const { z, nearest } = numbers(), { px, py, colours } = figure;
      nearest.forEach(({ code: [a, b], distance }, i) => {
        ring(context, px(a), py(b), colours.ink);
        const [across, up] = distance ? [(a - z[0]) / distance, (b - z[1]) / distance] : [0, 1];
        tool.label(context, i + 1, px(a) + 14 * across, py(b) - 14 * up, colours.ink, colours);
      });
      live.grip(context, figure, ...z, colours.ink, "");
    }, {
      edge: EDGE, dots(context, { px, py }) {
        const of = light(), large = new Set(drawn.map(d => d.code));
        codes.forEach((z, i) => live.dot(context, px(z[0]), py(z[1]), large.has(z) ? 3.5 : 1.7, ramp(of, share(gaps[i]))));
      },
    });
  live.drag(plane, [{ get: () => [state.z1, state.z2], set: z => { [state.z1, state.z2] = z; update(); } }], { step: 0.05 });

  // A cell for each token, filled as high as its probability.
  const SIDE = 27, ROW = 44, most = exported.length, inRow = w => Math.floor(w / SIDE);
  const string = live.canvas(right, {
    width: most * SIDE, height: w => ROW * Math.ceil(most / inRow(w)),
    label: "The string that the decoder writes, token by token, each with its probability in per cent.",
  }, (context, { width, colours }) => {
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 1;
    context.strokeStyle = colours.line;
    const family = context.font.slice(5);
    numbers().row.forEach(({ token, p }, i) => {
      const x = SIDE * (i % inRow(width)) + 1, y = ROW * Math.floor(i / inRow(width)) + 1, side = SIDE - 3;
      const text = tokens[token] || "end", ink = p[token] * side;
      context.fillStyle = colours.blue;
      context.globalAlpha = 0.35;
      context.fillRect(x, y + side - ink, side, ink);
      context.globalAlpha = 1;
      context.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
      context.fillStyle = colours.ink;
      context.font = text.length > 1 ? `12px ${family}` : "bold 16px monospace";
      context.fillText(text, x + side / 2, y + side / 2 + 1);
      context.fillStyle = colours.muted;
      context.font = `11px ${family}`;
      context.fillText(Math.round(100 * p[token]), x + side / 2, y + side + 8);
    });
  });

  const scale = live.canvas(right, {
    width: 460, height: 92, x: [LOW, HIGH], margin: [8, 12, 28, 12],
    label: "The colours of the gap, with the gap that is predicted at the point, and those of the three nearest molecules.",
  }, (context, figure) => {
    const { px, colours } = figure, of = light(), found = numbers(), bar = 26;
    const inside = eV => px(Math.min(HIGH, Math.max(LOW, eV)));
    const fill = context.createLinearGradient(px(LOW), 0, px(HIGH), 0);
    for (let t = 0; t <= 20; t++) fill.addColorStop(t / 20, ramp(of, t / 20));
    context.fillStyle = fill;
    context.fillRect(px(LOW), bar, px(HIGH) - px(LOW), 16);
    live.axis(context, figure, "gap, eV");
    for (const { gap } of found.nearest) {
      live.dot(context, inside(gap), bar + 8, 6, colours.paper);
      ring(context, inside(gap), bar + 8, colours.ink);
    }
    context.strokeStyle = colours.ink;
    context.beginPath();
    for (const side of [-1, 1]) context.lineTo(inside(found.gap + side * found.noise), bar - 12);
    context.stroke();
    live.dot(context, inside(found.gap), bar - 12, 5, colours.ink);
    const early = found.gap < (LOW + HIGH) / 2;
    context.fillStyle = colours.muted;
    context.textAlign = early ? "left" : "right";
    context.textBaseline = "middle";
    context.fillText("predicted", inside(found.gap + (early ? 1 : -1) * found.noise) + (early ? 8 : -8), bar - 12);
  });

  const range = { min: -EDGE, max: EDGE, step: 0.01, format: tool.signed };
  const sliders = live.row(right);
  const shows = [
    showHow,
    live.slider(sliders, state, "z1", { label: "z₁", ...range }, update),
    live.slider(sliders, state, "z2", { label: "z₂", ...range }, update),
  ];

  const cards = live.row(host);
  cards.className = "live-cards";
  function add(parent, name, attributes = {}) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  }
  const tell = ["written", "nearest, 1", "nearest, 2", "nearest, 3"].map(name => {
    const card = live.row(cards), picture = add(card, "svg", { viewBox: "-36 -27 672 504", role: "img" });
    const [bonds, letters] = ["bonds", "letters"].map(kind => add(picture, "path", { class: kind }));
    const none = add(picture, "text", { x: 300, y: 225 });
    const [title, code, words] = ["b", "code", "span"].map(tag => card.appendChild(document.createElement(tag)));
    card.className = "";
    title.textContent = name;
    return (string, paths, text) => {
      picture.setAttribute("aria-label", paths ? `Drawing of ${string}` : "No drawing of this string");
      none.textContent = paths ? "" : "no drawing";
      bonds.setAttribute("d", paths?.[0] ?? "");
      letters.setAttribute("d", paths?.[1] ?? "");
      code.textContent = string;
      words.textContent = text;
    };
  });

  const say = live.readout(host), SETS = {
    drawn: own => `a molecule that is drawn here, whose own code lies ${own.distance.toFixed(2)} away`,
    training: () => "a molecule of the training set",
    kept: () => "a molecule that was kept from training",
  };
  const eV = v => `${v.toFixed(2)} eV`;
  function update() {
    for (const show of shows) show();
    const { z, string: text, ended, logP, gap, noise, nearest, own, set } = numbers();
    const paths = own?.paths ?? written.get(text)?.paths, predicted = `${gap.toFixed(1)} ± ${noise.toFixed(1)} eV`;
    tell[0](text, paths, `predicted gap ${predicted}`);
    nearest.forEach((d, i) => tell[i + 1](d.string, d.paths, `gap ${eV(d.gap)}`));
    const writers = state.how === "drawn" ? "Tokens drawn" : "The likeliest tokens";
    say(`z = (${z.map(v => tool.signed(v)).join(", ")}). ${writers} write`
      + ` ${text || "nothing"}${ended ? "" : " and no end"}, log p(x|z) = ${tool.signed(logP)} nats; `
      + (set ? `it is ${SETS[set](own)}.` : "whether it is a molecule, this page cannot know.")
      + ` Predicted gap: ${predicted}. Nearest of the ${drawn.length} drawn molecules: `
      + nearest.map(d => `${d.string} (${eV(d.gap)})`).join(", ") + ".");
    for (const figure of [plane, string, scale]) figure.redraw();
  }
  live.expose(host, state, { update, numbers, figures: [plane, string, scale] });
});
