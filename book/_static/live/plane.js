/* What the figures with mnist-2d share: the latent plane with the test digits' codes, and pictures of 28 x 28 pixels.

   const tool = await live.load("plane");
   await tool.models(host, "decoder", ...) -> [digits, decode, ...]; digits: {labels, codes, examples: [{label, code, pixels}]}
   tool.plane(parent, below, digits, label, paint, {edge, shown, dots}) -> live.canvas of so wide a plane; buttons in below,
       if given, show and hide the classes, which the array shown says; dots, if given, draws other codes than digits'; and
       nearest(z): which test digit;  glyphs(context, {px, py}, size, box): draws the digits of the box at px(z1), py(z2)
   tool.legend(parent, shown, changed)() makes such buttons;  tool.points(base64, unit) -> [[z1, z2], ...]
   tool.picture(context, pixels, x, y, size, colours);  tool.label(context, text, x, y, colour, colours);  tool.names(examples) -> options of live.choice
   tool.a("8") -> "an 8";  tool.signed(number, digits) */
(() => {
  const SIDE = 28, HUES = [90, 200, 325, 35, 0, 145, 250, 110, 290, 225]; // far apart where classes touch

  function bytes(base64) {
    const text = atob(base64), values = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) values[i] = text.charCodeAt(i);
    return values;
  }

  function points(base64, unit) {
    const view = new DataView(bytes(base64).buffer), value = i => unit * view.getInt16(2 * i, true);
    return Array.from({ length: view.byteLength / 4 }, (_, i) => [value(2 * i), value(2 * i + 1)]);
  }

  async function models(host, ...parts) {
    host.textContent = "Loading the trained network \u2026";
    const { read } = await live.load("network");
    const files = ["digits", ...parts].map(name => live.load(`mnist-2d-${name}`));
    const [digits, ...networks] = await Promise.all(files);
    host.textContent = "";
    return [readDigits(digits), ...networks.map(read)];
  }

  function readDigits({ unit, labels, codes, examples }) {
    const pixels = Float32Array.from(bytes(examples.pixels), v => v / 255), size = SIDE * SIDE;
    return {
      labels, codes: points(codes, unit),
      examples: points(examples.codes, unit).map((code, i) => (
        { label: examples.labels[i], code, pixels: pixels.slice(i * size, (i + 1) * size) })),
    };
  }

  const small = document.createElement("canvas").getContext("2d");
  small.canvas.width = small.canvas.height = SIDE;

  function picture(context, pixels, x, y, size, colours) { // as much ink as the pixel says, on paper
    const image = small.createImageData(SIDE, SIDE);
    for (let i = 0; i < pixels.length; i++) image.data[4 * i + 3] = 255 * pixels[i];
    small.putImageData(image, 0, 0);
    small.globalCompositeOperation = "source-in";
    small.fillStyle = colours.ink;
    small.fillRect(0, 0, SIDE, SIDE);
    context.fillStyle = colours.paper;
    context.fillRect(x, y, size, size);
    context.imageSmoothingEnabled = false;
    context.drawImage(small.canvas, x, y, size, size);
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
  }

  function label(context, text, x, y, colour, { paper }) { // legible on whatever lies below
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = 4;
    context.strokeStyle = paper;
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
  }

  function legend(parent, shown, changed) {
    const row = live.row(parent);
    row.classList.add("live-classes");
    const buttons = HUES.map((hue, c) => {
      const button = live.button(row, c, () => { shown[c] = !shown[c]; show(); });
      button.setAttribute("aria-label", `${c}: test digits shown`);
      button.style.setProperty("--live-hue", hue);
      return button;
    });
    live.button(row, "all or none", () => { shown.fill(!shown.some(Boolean)); show(); });
    function show() {
      buttons.forEach((button, c) => button.setAttribute("aria-pressed", shown[c]));
      changed();
    }
    return show;
  }

  function rings(context, { px, py, colours }) { // the prior: circles of 1, 2, 3 sigma and the mass inside
    for (const radius of [1, 2, 3]) {
      context.lineWidth = 1;
      context.strokeStyle = colours.muted;
      context.setLineDash([5, 4]);
      context.beginPath();
      context.arc(px(0), py(0), px(radius) - px(0), 0, 2 * Math.PI);
      context.stroke();
      context.setLineDash([]);
      if (px(radius) - px(0) > 20) label(context, `${Math.round(100 * (1 - Math.exp(-(radius ** 2) / 2)))} %`, px(0), py(radius), colours.muted, colours);
    }
  }

  function plane(parent, below, digits, label, paint, { edge = 3.8, shown = Array(10).fill(true), dots } = {}) {
    const { labels, codes } = digits, kept = document.createElement("canvas");
    let key = ""; // what the kept drawing of digits and circles was made for

    function glyphs(context, { px, py }, size, [left, top, right, bottom]) {
      const light = getComputedStyle(parent).getPropertyValue("--live-light");
      context.font = `bold ${size}px sans-serif`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      codes.forEach(([z1, z2], i) => {
        const x = px(z1), y = py(z2);
        if (!shown[labels[i]] || x < left || x > right || y < top || y > bottom) return;
        context.fillStyle = `oklch(${light} 0.13 ${HUES[labels[i]]})`;
        context.fillText(labels[i], x, y);
      });
    }

    function background(context, figure) {
      const now = [figure.element.width, figure.x, figure.y, figure.colours.ink, shown].join();
      if (now !== key) {
        key = now;
        kept.width = figure.element.width;
        kept.height = figure.element.height;
        const draft = kept.getContext("2d");
        draft.scale(devicePixelRatio, devicePixelRatio);
        const box = [0, 0, figure.width, figure.py(figure.y[0])]; // above the axis
        draft.save();
        draft.rect(...box);
        draft.clip();
        draft.globalAlpha = 0.85;
        (dots ?? glyphs)(draft, figure, 9, box);
        draft.globalAlpha = 1;
        draft.font = context.font;
        rings(draft, figure);
        draft.restore();
        draft.font = context.font;
        live.axis(draft, figure, "z₁");
        draft.fillText("z₂", figure.px(0) - 6, figure.py(figure.y[1]) + 14);
      }
      context.drawImage(kept, 0, 0, figure.width, figure.height);
    }

    const square = { width: 460, height: width => width, x: [-edge, edge], y: [-edge, edge], margin: [4, 4, 26, 4], label };
    const figure = live.canvas(parent, square, context => { background(context, figure); paint(context, figure); });
    figure.glyphs = glyphs;
    figure.nearest = ([a, b]) => {
      const distances = codes.map(([z1, z2]) => Math.hypot(z1 - a, z2 - b));
      return distances.reduce((best, d, i) => (d < distances[best] ? i : best), 0);
    };
    if (below) legend(below, shown, () => figure.redraw())();
    return figure;
  }

  const a = label => `${label === "8" ? "an" : "a"} ${label}`;
  const names = examples => examples.map(({ label }, i) => [
    String(i), i % 2 ? `another ${label}` : a(label), // two of each class, side by side
  ]);
  const signed = (v, digits = 2) => v.toFixed(digits).replace("-", "\u2212");

  live.provide("plane", { models, points, plane, legend, picture, label, a, names, signed });
})();
