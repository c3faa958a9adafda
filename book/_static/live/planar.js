/* A planar map z + u tanh(w'z + b) of the plane: where it takes a point, a grid and N(0, I), and where it folds
   (eq-planar-determinant), with u as it is drawn or corrected (eq-planar-condition). */
live.register("planar", host => {
  const EDGE = 3.8;
  const state = { u: [-3, 0.5], w: [0.6, -0.3], b: 0, z: [-0.8, -0.8], used: "drawn", keys: "z" };
  const dot = (p, q) => p[0] * q[0] + p[1] * q[1], along = (p, t, q) => [p[0] + t * q[0], p[1] + t * q[1]];
  const gaussian = z => Math.exp(-0.5 * dot(z, z)) / (2 * Math.PI);

  function taken() { // the u that the map uses
    const { u, w, used } = state, a = dot(w, u);
    if (used === "drawn") return u;
    const m = Math.log1p(Math.exp(a)) - 1;
    return along(u, (m - a) / (used === "fit" ? dot(w, w) : Math.sqrt(dot(w, w))), w);
  }
  let u, wu; // that u, and w'u
  const image = z => along(z, Math.tanh(dot(state.w, z) + state.b), u);
  const determinant = z => 1 + (1 - Math.tanh(dot(state.w, z) + state.b) ** 2) * wu;

  // All happens on a line: where w'z = a, w'T(z) = a + w'u tanh(a + b). It rises, or falls between two turns.
  function sources(target) {
    const f = a => a + wu * Math.tanh(a + state.b) - target, far = Math.abs(target) + Math.abs(wu) + 1;
    const turn = wu < -1 ? Math.atanh(Math.sqrt(1 + 1 / wu)) : 0;
    const ends = wu < -1 ? [-far, -state.b - turn, -state.b + turn, far] : [-far, far], found = [];
    for (let i = 1; i < ends.length; i++) {
      let [low, high] = [ends[i - 1], ends[i]];
      const sign = Math.sign(f(high)) || 1;
      if (f(low) * sign > 0) continue;
      for (let k = 0; k < 50; k++) {
        const middle = (low + high) / 2;
        if (f(middle) * sign < 0) low = middle;
        else high = middle;
      }
      found.push((low + high) / 2);
    }
    return found;
  }
  const back = (y, a) => along(y, -Math.tanh(a + state.b), u); // the point with w'z = a that goes to y
  const density = (y, roots) => roots.reduce((all, a) => {
    const z = back(y, a);
    return all + gaussian(z) / Math.abs(determinant(z));
  }, 0);

  function numbers() {
    const y = image(state.z), roots = sources(dot(state.w, y));
    return { u, wu, image: y, determinant: determinant(state.z), invertible: wu > -1,
      sources: roots.map(a => back(y, a)), density: gaussian(state.z), densityOfImage: density(y, roots) };
  }

  const pair = live.row(host);
  pair.className = "live-pair live-twins";
  const square = { width: 340, height: width => width, x: [-EDGE, EDGE], y: [-EDGE, EDGE], margin: [4, 4, 26, 4] };
  const plane = (name, label, paint) => {
    const column = live.row(pair);
    column.className = "";
    const figure = live.canvas(column, { ...square, label }, context => {
      const { px, py, colours } = figure;
      context.save();
      context.rect(px(-EDGE), py(EDGE), px(EDGE) - px(-EDGE), py(-EDGE) - py(EDGE));
      context.clip();
      paint(context, figure);
      context.restore();
      live.axis(context, figure, "");
      context.fillStyle = colours.ink;
      context.textAlign = "left";
      context.textBaseline = "top";
      context.fillText(name, px(-EDGE) + 4, py(EDGE) + 4);
    });
    return figure;
  };
  function net(context, { px, py, colours }, map) { // a grid, and circles of one and two sigma
    const path = (points, colour, width) => {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      for (const z of points) { const [x, y] = map(z); context.lineTo(px(x), py(y)); }
      context.stroke();
    };
    const ticks = Array.from({ length: 181 }, (_, i) => i / 10 - 9);
    context.globalAlpha = 0.6;
    for (let v = -9; v <= 9; v++) {
      path(ticks.map(t => [v, t]), colours.line, 1);
      path(ticks.map(t => [t, v]), colours.line, 1);
    }
    context.globalAlpha = 1;
    for (const r of [1, 2]) path(ticks.map(t => [r * Math.cos(Math.PI * t / 9), r * Math.sin(Math.PI * t / 9)]), colours.green, 2);
  }
  function arrow(context, { px, py }, [x, y], colour, dash) {
    context.strokeStyle = colour;
    context.lineWidth = 3;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(px(0), py(0));
    context.lineTo(px(x), py(y));
    context.stroke();
    context.setLineDash([]);
    if (!dash.length) return;
    live.dot(context, px(x), py(y), 5, colour);
    context.textAlign = "center";
    context.textBaseline = "bottom";
    context.fillText("u\u0302", px(x), py(y) - 7);
  }

  const before = plane("before", "The plane before the map, with the arrows u and w, the crease where w'z + b is zero, and a point z. Drag the"
    + " point and the tips of the arrows, or choose one and use the arrow keys.", (context, figure) => {
    const { px, py, colours } = figure, { w, b, z } = state, foot = along([0, 0], -b / dot(w, w), w);
    live.shade(context, figure, gaussian, colours.blue);
    net(context, figure, p => p);
    context.strokeStyle = colours.purple;
    context.setLineDash([6, 4]);
    context.beginPath();
    for (const t of [-20, 20]) { const [x, y] = along(foot, t, [-w[1], w[0]]); context.lineTo(px(x), py(y)); }
    context.stroke();
    context.setLineDash([]);
    arrow(context, figure, w, colours.purple, []);
    arrow(context, figure, state.u, colours.ink, []);
    if (state.used !== "drawn") arrow(context, figure, u, colours.ink, [5, 4]);
    for (const p of numbers().sources) live.dot(context, px(p[0]), py(p[1]), 5, colours.red);
    live.grip(context, figure, ...w, colours.purple, "w");
    live.grip(context, figure, ...state.u, colours.ink, "u");
    live.grip(context, figure, ...z, colours.red, "z");
  });
  const after = plane("after", "The plane after the map: where the grid, two circles and the point have gone, and the density that N(0, I) has"
    + " become, as shade.", (context, figure) => {
    const { px, py, colours } = figure, [x, y] = image(state.z), { w } = state;
    const most = EDGE * (Math.abs(w[0]) + Math.abs(w[1])), known = [];
    const roots = a => known[Math.round(200 * (1 + a / most))] ??= sources(a);
    live.shade(context, figure, p => density(p, roots(dot(w, p))), colours.blue);
    net(context, figure, image);
    live.dot(context, px(x), py(y), 7, colours.red);
  });

  const say = live.readout(host), row = live.row(host);
  const minus = v => v.toFixed(2).replace("-", "\u2212");
  const shows = [
    live.choice(row, state, "used", { label: "the map uses", options: [
      ["drawn", "u as drawn"], ["fit", "u made to fit, by |w|\u00b2"], ["slip", "u with the slip, by |w|"]] }, update),
    live.slider(row, state, "b", { label: "shift b", min: -3, max: 3, step: 0.05, format: minus }, update),
    live.choice(row, state, "keys", { label: "arrow keys move", options: [
      ["z", "the point z"], ["u", "the arrow u"], ["w", "the arrow w"]] }, update),
  ];

  function update() {
    for (const show of shows) show();
    u = taken();
    wu = dot(state.w, u);
    take(["z", "u", "w"].indexOf(state.keys));
    const { determinant: det, invertible, sources: all, density: d, densityOfImage } = numbers();
    say(`w\u2032u = ${minus(wu)}, ${invertible ? "above" : "not above"} \u22121: the map ${invertible ? "can be inverted" : "folds the plane"}.`
      + ` At z its determinant is ${det.toFixed(3).replace("-", "\u2212")}, `
      + (all.length > 1 ? `and ${all.length === 2 ? "two" : "three"} points have the same image.`
        : `so the density there, ${d.toFixed(3)}, becomes ${d.toFixed(3)} / ${det.toFixed(3)} = ${densityOfImage.toFixed(3)} at its image.`));
    for (const figure of [before, after]) figure.redraw();
  }
  const handle = name => ({
    get: () => state[name],
    set: p => {
      const short = name === "w" && Math.hypot(...p) < 0.3; // w is not zero
      state[name] = short ? along([0, 0], 0.3 / (Math.hypot(...p) || 1), Math.hypot(...p) ? p : [1, 0]) : p;
      state.keys = name;
      update();
    },
  });
  const take = live.drag(before, ["z", "u", "w"].map(handle), { step: 0.05 });
  live.expose(host, state, { update, numbers, figures: [before, after] });
});
