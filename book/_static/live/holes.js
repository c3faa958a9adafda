/* The planes of two decoders of the same layers, an auto-encoder's and a VAE's: walk between the same two test digits in
   both, or move a point anywhere (eq-autoencoder-freedom). */
live.register("holes", async host => {
  const tool = await live.load("plane"), [digits, decodeVae] = await tool.models(host, "decoder");
  const { read } = await live.load("network"), twin = await live.load("plane-autoencoder-digits");
  const decodeAe = read(await live.load("plane-autoencoder-decoder"));
  const { examples, labels } = digits, codes = tool.points(twin.codes, twin.unit), ends = tool.points(twin.examples, twin.unit);
  const state = { from: "0", to: "15", t: 0.5, zoom: 1, ae: null, vae: null }, shown = Array(10).fill(true);

  const sides = {
    ae: { name: "auto-encoder", edge: 95, decode: decodeAe, codes, ends },
    vae: { name: "VAE", edge: 3.8, decode: decodeVae, codes: digits.codes, ends: examples.map(e => e.code) },
  };
  const line = ({ ends }, t) => [0, 1].map(j => (1 - t) * ends[state.from][j] + t * ends[state.to][j]);
  const at = key => state[key] ?? line(sides[key], state.t); // null: on the line
  const far = ({ codes }, [a, b], self = -1) => codes.reduce((best, [z1, z2], i) => {
    const d = i === self ? Infinity : Math.hypot(z1 - a, z2 - b);
    return d < best.d ? { d, i } : best;
  }, { d: Infinity, i: -1 });
  for (const side of Object.values(sides)) side.usual = side.codes.map((z, i) => far(side, z, i).d).sort((a, b) => a - b);
  function about(key) {
    const side = sides[key], z = at(key), { d, i } = far(side, z);
    const below = side.usual.filter(u => u < d).length / side.usual.length; // share of codes that lie nearer to another one
    return { z, distance: d, below, nearest: labels[i], pixels: [...side.decode(z)] };
  }
  const numbers = () => ({ ae: about("ae"), vae: about("vae") });

  const top = live.row(host), named = tool.names(examples);
  const back = () => { state.ae = state.vae = null; update(); };
  const shows = [
    live.choice(top, state, "from", { label: "from", options: named }, back),
    live.choice(top, state, "to", { label: "to", options: named }, back),
    live.slider(top, state, "t", { label: "share of the way t", min: 0, max: 1, step: 0.01 }, back),
    live.slider(top, state, "zoom", { label: "magnify", min: 1, max: 10, step: 1, format: v => `\u00d7 ${v}` }, () => update()),
  ];
  const pair = live.row(host);
  pair.className = "live-pair live-twins";
  const figures = [];
  for (const [key, side] of Object.entries(sides)) {
    const column = live.row(pair);
    column.className = "";
    side.plane = tool.plane(column, null, { labels, codes: side.codes },
      `The plane of the ${side.name} with the codes of 2,000 test digits. Drag the point, or use the arrow keys; Shift takes larger steps.`,
      (context, figure) => {
        const { px, py, colours } = figure;
        context.strokeStyle = colours.ink;
        context.setLineDash([6, 4]);
        context.beginPath();
        for (const end of [state.from, state.to]) context.lineTo(px(side.ends[end][0]), py(side.ends[end][1]));
        context.stroke();
        context.setLineDash([]);
        live.grip(context, figure, ...at(key), colours.ink, "");
        context.textBaseline = "top";
        tool.label(context, side.name, 52, 14, colours.ink, colours);
      }, { edge: side.edge, shown });
    side.middle = [0, 0];
    live.drag(side.plane, [{ get: () => at(key), set: z => { state[key] = z; update(); } }], { step: side.edge / 75 });
    side.plane.element.addEventListener("pointerdown", () => { side.held = true; });
    side.plane.element.addEventListener("pointerup", () => { side.held = false; update(); });
    side.image = live.canvas(column, { width: 140, height: w => w, label: `What the decoder of the ${side.name} draws at its point.` },
      (context, figure) => tool.picture(context, side.decode(at(key)), 0, 0, figure.width, figure.colours));
    figures.push(side.plane, side.image);
  }
  const showLegend = tool.legend(host, shown, () => { for (const { plane } of Object.values(sides)) plane.redraw(); });
  const say = live.readout(host);

  function frame(side, z) { // keep the point inside, but never move the plane under a finger
    const { edge } = side, half = edge / state.zoom, clamp = v => Math.min(edge - half, Math.max(half - edge, v));
    if (!side.held && z.some((v, j) => Math.abs(v - clamp(side.middle[j])) >= half)) side.middle = z;
    [side.plane.x, side.plane.y] = side.middle.map(v => [clamp(v) - half, clamp(v) + half]);
  }
  function sentence(name, { z, distance, below, nearest }) {
    const place = z.map(v => tool.signed(v)).join(", ");
    return `${name}: z = (${place}). The nearest of the 2,000 codes is that of ${tool.a(nearest)}, ${distance.toFixed(2)} away;`
      + ` ${Math.round(100 * below)} % of the codes have a neighbour nearer than that.`;
  }
  function update() {
    for (const show of shows) show();
    const found = numbers();
    for (const [key, side] of Object.entries(sides)) {
      frame(side, at(key));
      side.plane.redraw();
      side.image.redraw();
    }
    say(`${sentence("Auto-encoder", found.ae)} ${sentence("VAE", found.vae)}`);
  }
  showLegend();
  live.expose(host, state, { update, numbers, figures });
});
