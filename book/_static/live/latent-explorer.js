/* The latent plane of mnist-2d: move a point, or walk a line between two, and the decoder draws (eq-vae-model). */
live.register("latent-explorer", async host => {
  const tool = await live.load("plane"), [digits, decode] = await tool.models(host, "decoder");
  const { examples, labels } = digits;
  const STEPS = 9, state = { mode: "point", z1: 0.6, z2: 1.2, from: "4", to: "5", a: [0, 0], b: [0, 0], t: 0, zoom: 1 };
  const on = i => [...examples[i].code];
  state.a = on(state.from);
  state.b = on(state.to);

  const EDGE = 3.8; // of the plane; zoomed in, the figure shows a part of it around this point
  let middle = [0, 0], held = false;

  const walking = () => state.mode === "walk";
  const line = t => [0, 1].map(j => (1 - t) * state.a[j] + t * state.b[j]);
  const z = () => (walking() ? line(state.t) : [state.z1, state.z2]);
  const logPrior = ([z1, z2]) => -Math.log(2 * Math.PI) - (z1 * z1 + z2 * z2) / 2; // eq-gaussian-log-prob at (0, I)
  let steps, stepsOf; // the strip's pictures, and the ends that they belong to
  function strips() {
    const ends = [state.a, state.b].join();
    if (ends !== stepsOf) steps = Array.from({ length: STEPS }, (_, i) => decode(line(i / (STEPS - 1))));
    stepsOf = ends;
    return steps;
  }
  const numbers = () => ({
    z: z(), logPrior: logPrior(z()), distance: Math.hypot(...z()),
    nearest: labels[plane.nearest(z())], pixels: [...decode(z())], ends: [state.a, state.b],
  });

  const top = live.row(host);
  const showMode = live.choice(top, state, "mode",
    { label: "what to do", options: [["point", "move one point"], ["walk", "walk between two digits"]] }, update);
  const showZoom = live.slider(top, state, "zoom",
    { label: "magnify", min: 1, max: 10, step: 1, format: v => `\u00d7 ${v}` }, () => { middle = z(); update(); });
  const pair = live.row(host), left = live.row(pair), right = live.row(pair);
  pair.className = "live-pair";
  left.className = right.className = "";

  const plane = tool.plane(left, host, digits,
    "The latent plane with the codes of 2,000 test digits. Drag the point, or use the arrow keys; Shift takes larger steps.",
    (context, figure) => {
      const { px, py, colours } = figure;
      if (walking()) {
        context.strokeStyle = colours.ink;
        context.lineWidth = 2;
        context.beginPath();
        for (const end of [state.a, state.b]) context.lineTo(px(end[0]), py(end[1]));
        context.stroke();
        for (const [end, name] of [[state.a, "from"], [state.b, "to"]]) {
          live.grip(context, figure, ...end, colours.ink, "");
          tool.label(context, name, px(end[0]), py(end[1]) - 18, colours.ink, colours);
        }
        live.dot(context, px(z()[0]), py(z()[1]), 5, colours.ink);
      } else live.grip(context, figure, ...z(), colours.ink, "");
    });

  // In a walk the two ends are dragged; let go of, an end settles on the nearest test digit.
  let last = "a";
  const end = (key, name) => ({
    get: () => (walking() ? state[key] : z()),
    set: v => {
      last = key;
      if (walking()) Object.assign(state, { [key]: v, [name]: "free" });
      else [state.z1, state.z2] = v;
      update();
    },
  });
  live.drag(plane, [end("a", "from"), end("b", "to")], { step: 0.05 });
  plane.element.addEventListener("pointerup", () => {
    held = false;
    if (walking()) { state[last] = [...digits.codes[plane.nearest(state[last])]]; update(); }
  });
  plane.element.addEventListener("pointerdown", () => { held = true; });

  function frame() { // keep z inside, but never move the plane under a finger
    const half = EDGE / state.zoom, clamp = v => Math.min(EDGE - half, Math.max(half - EDGE, v));
    if (!held && z().some((v, j) => Math.abs(v - clamp(middle[j])) >= half)) middle = z();
    [plane.x, plane.y] = middle.map(v => [clamp(v) - half, clamp(v) + half]);
  }

  const size = width => width;
  const image = live.canvas(right, { width: 224, height: size, label: "What the decoder draws at this point." },
    (context, figure) => tool.picture(context, decode(z()), 0, 0, figure.width, figure.colours));

  const ofPoint = live.row(right), ofWalk = live.row(right);
  const range = { min: -EDGE, max: EDGE, step: 0.01, format: tool.signed };
  const named = [["free", "a point of the plane"], ...tool.names(examples)];
  const choose = (key, i) => () => { if (state[key] !== "free") state[i] = on(state[key]); update(); };
  const shows = [
    showMode, showZoom,
    live.slider(ofPoint, state, "z1", { label: "z₁", ...range }, update),
    live.slider(ofPoint, state, "z2", { label: "z₂", ...range }, update),
    live.choice(ofWalk, state, "from", { label: "from", options: named }, choose("from", "a")),
    live.choice(ofWalk, state, "to", { label: "to", options: named }, choose("to", "b")),
    live.slider(ofWalk, state, "t", { label: "share of the way t", min: 0, max: 1, step: 0.01 }, update),
  ];
  let under = false; // a second press changes nothing on the way
  live.button(ofWalk, "play", () => {
    if (!under) live.animate(t => { under = t < 1; state.t = t; update(); }, 4000);
  });

  const stripBox = live.row(host);
  stripBox.className = "";
  const strip = live.canvas(stripBox, {
    width: 700, height: width => width / STEPS + 8, label: "Nine steps of the walk, from its start to its end; a bar marks t.",
  }, (context, figure) => {
    const side = figure.width / STEPS;
    strips().forEach((pixels, i) => tool.picture(context, pixels, i * side + 1, 0, side - 2, figure.colours));
    live.dot(context, side / 2 + state.t * (figure.width - side), side + 4, 4, figure.colours.blue);
  });

  const say = live.readout(host);
  function update() {
    for (const show of shows) show();
    frame();
    ofPoint.hidden = walking();
    ofWalk.hidden = stripBox.hidden = !walking();
    const [z1, z2] = z(), distance = Math.hypot(z1, z2), inside = 1 - Math.exp(-(distance ** 2) / 2);
    const found = labels[plane.nearest(z())];
    say(`z = (${tool.signed(z1)}, ${tool.signed(z2)}), log p(z) = ${tool.signed(logPrior(z()))}. It lies ${distance.toFixed(2)}`
      + ` from the origin; the prior has ${(100 * inside).toFixed(0)} % of its mass nearer in. The nearest test digit is ${tool.a(found)}.`);
    plane.redraw();
    image.redraw();
    if (walking()) strip.redraw();
  }
  live.expose(host, state, { update, numbers, figures: [plane, image, strip] });
});
