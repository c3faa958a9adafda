/* The controls and the canvas of the live figures; live.js says how each is called. */
(() => {
  let count = 0;

  function make(parent, tag, attributes = {}, text = "") {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    parent.append(element);
    return element;
  }

  live.row = parent => make(parent, "div", { class: "live-row" });

  live.button = (parent, text, act) => {
    const button = make(parent, "button", { type: "button" }, text);
    button.addEventListener("click", act);
    return button;
  };

  function field(parent, label, tag, attributes) {
    const id = `live-control-${++count}`;
    const box = make(parent, "div", { class: "live-control" });
    make(box, "label", { for: id }, label);
    return [make(box, tag, { id, ...attributes }), box, id];
  }

  live.slider = (parent, state, key, { label, min, max, step, format = v => v.toFixed(2) }, changed) => {
    const [input, box, id] = field(parent, label, "input", { type: "range", min, max, step });
    const value = make(box, "output", { for: id, "aria-live": "off" }); // the readout speaks for all
    function show() {
      input.value = state[key];
      value.textContent = format(state[key]);
      input.setAttribute("aria-valuetext", value.textContent);
    }
    input.addEventListener("input", () => { state[key] = Number(input.value); show(); changed(); });
    show();
    return show;
  };

  live.choice = (parent, state, key, { label, options }, changed) => {
    const [select] = field(parent, label, "select");
    for (const [value, text] of options) make(select, "option", { value }, text);
    const show = () => { select.value = state[key]; };
    select.addEventListener("change", () => { state[key] = select.value; changed(); });
    show();
    return show;
  };

  live.number = (parent, state, key, { label, whole }, changed) => {
    const [input, box, id] = field(parent, label, "input", { type: "number", min: whole ? 1 : 0, step: whole ? 1 : "any" });
    const fault = make(box, "span", { id: `${id}-fault`, class: "live-fault", role: "alert" });
    function check() {
      const good = input.validity.valid && Number(input.value) > 0;
      input.setAttribute("aria-invalid", !good);
      fault.textContent = good ? "" : `expected a ${whole ? "whole " : ""}number above 0; ${state[key]} is kept`;
      return good;
    }
    const show = () => { if (document.activeElement !== input) { input.value = state[key]; check(); } };
    input.setAttribute("aria-describedby", fault.id);
    input.addEventListener("input", () => { if (check()) { state[key] = Number(input.value); changed(); } });
    input.addEventListener("blur", show);
    show();
    return show;
  };

  live.expose = (host, state, { update, numbers, figures = [] }) => {
    host.live = {
      state,
      numbers,
      set(values) { Object.assign(state, values); update(); },
      draw() { for (const figure of figures) figure.draw(); },
    };
    update();
  };

  live.readout = parent => {
    const seen = make(parent, "p", { class: "live-readout" });
    const spoken = make(parent, "p", { class: "live-spoken", "aria-live": "polite" });
    let timer, first = true;
    return text => {
      seen.textContent = text;
      clearTimeout(timer);
      if (!first) timer = setTimeout(() => { spoken.textContent = text; }, 600);
      first = false; // a figure that has just appeared says nothing unasked
    };
  };

  live.colours = () => {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "muted", "line", "paper", "blue", "red", "green", "purple"];
    return Object.fromEntries(names.map(n => [n, style.getPropertyValue(`--live-${n}`).trim()]));
  };

  live.canvas = (parent, { width, height, x = [0, 1], y = [0, 1], margin = [8, 12, 28, 12], label }, draw) => {
    const element = make(parent, "canvas", { role: "img", "aria-label": label });
    const context = element.getContext("2d");
    const [top, right, bottom, left] = margin;
    const figure = {
      element, x, y, colours: live.colours(),
      px: v => left + (v - figure.x[0]) / (figure.x[1] - figure.x[0]) * (figure.width - left - right),
      py: v => figure.height - bottom - (v - figure.y[0]) / (figure.y[1] - figure.y[0]) * (figure.height - top - bottom),
      at: (px, py) => [
        figure.x[0] + (px - left) / (figure.width - left - right) * (figure.x[1] - figure.x[0]),
        figure.y[0] + (figure.height - bottom - py) / (figure.height - top - bottom) * (figure.y[1] - figure.y[0]),
      ],
    };
    let waiting = 0;
    figure.draw = () => {
      waiting = 0;
      context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
      context.clearRect(0, 0, figure.width, figure.height);
      context.font = `13px ${getComputedStyle(element).fontFamily}`;
      context.lineWidth = 2;
      draw(context, figure);
    };
    figure.redraw = () => { waiting ||= requestAnimationFrame(figure.draw); };
    function measure() {
      figure.width = Math.min(width, Math.floor(parent.getBoundingClientRect().width)); // clientWidth rounds up
      figure.height = typeof height === "function" ? height(figure.width) : height;
    }
    function fit() {
      measure();
      element.width = Math.round(figure.width * devicePixelRatio); // the store follows the screen's resolution
      element.height = Math.round(figure.height * devicePixelRatio);
      element.style.width = `${figure.width}px`;
      element.style.height = `${figure.height}px`;
      figure.draw();
    }
    let known = 0;
    const sized = new ResizeObserver(() => {
      if (parent.clientWidth && parent.clientWidth !== known) { known = parent.clientWidth; fit(); }
    });
    measure();
    sized.observe(parent); // calls back once at the start, when the widget is complete
    new MutationObserver(() => { figure.colours = live.colours(); figure.redraw(); })
      .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return figure;
  };

  live.axis = (context, figure, label) => {
    const { px, py, x, y, colours } = figure;
    const base = py(y[0]);
    context.strokeStyle = colours.line;
    context.fillStyle = colours.muted;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(px(x[0]), base);
    context.lineTo(px(x[1]), base);
    context.textAlign = "center";
    context.textBaseline = "top";
    const step = px(1) - px(0) > 5 ? 1 : 10, all = px(step) - px(0) > (step > 1 ? 30 : 22);
    for (let v = step * Math.ceil(x[0] / step); v <= x[1]; v += step) {
      context.moveTo(px(v), base);
      context.lineTo(px(v), base + 4);
      if (all || v % (2 * step) === 0) context.fillText(String(v).replace("-", "\u2212"), px(v), base + 7);
    }
    context.stroke();
    context.textAlign = "right";
    context.textBaseline = "bottom";
    context.fillText(label, px(x[1]), base - 4);
    context.lineWidth = 2;
  };

  live.curve = (context, figure, f, colour, { dash = [], fill = false, base = 0 } = {}) => {
    const { px, py, x, at } = figure;
    context.strokeStyle = context.fillStyle = colour;
    context.setLineDash(dash);
    context.beginPath();
    for (let p = px(x[0]); p <= px(x[1]); p += 1.5) context.lineTo(p, py(f(at(p, 0)[0])));
    if (!fill) context.stroke();
    else {
      context.lineTo(px(x[1]), py(base));
      context.lineTo(px(x[0]), py(base));
      context.globalAlpha = 0.25;
      context.fill();
      context.globalAlpha = 1;
    }
    context.setLineDash([]);
  };

  const small = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

  live.shade = (context, { px, py, at, x, y }, density, colour) => { // by cells of about five pixels, painted smoothly
    const [left, top] = [px(x[0]), py(y[1])], [width, height] = [px(x[1]) - left, py(y[0]) - top];
    const [columns, rows] = [width, height].map(size => Math.max(1, Math.round(size / 5)));
    Object.assign(small.canvas, { width: columns, height: rows });
    const image = small.createImageData(columns, rows), middle = (i, n) => (i + 0.5) / n;
    const across = Array.from({ length: columns }, (_, i) => at(left + width * middle(i, columns), 0)[0]);
    for (let row = 0; row < rows; row++) {
      const z2 = at(0, top + height * middle(row, rows))[1];
      across.forEach((z1, i) => { image.data[4 * (row * columns + i) + 3] = 200 * (1 - Math.exp(-5 * density([z1, z2]))); });
    }
    small.putImageData(image, 0, 0);
    small.globalCompositeOperation = "source-in";
    small.fillStyle = colour;
    small.fillRect(0, 0, columns, rows);
    context.drawImage(small.canvas, left, top, width, height);
  };

  live.dot = (context, px, py, radius, colour) => {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(px, py, radius, 0, 2 * Math.PI);
    context.fill();
  };

  live.grip = (context, figure, x, y, colour, name) => {
    const [px, py] = [figure.px(x), figure.py(y)];
    live.dot(context, px, py, 9, colour);
    live.dot(context, px, py, 6, figure.colours.paper);
    live.dot(context, px, py, 3, colour);
    context.fillStyle = colour;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    context.fillText(name, px, py - 11);
  };

  live.drag = (figure, handles, { step, flat = false }) => {
    const { element } = figure;
    element.setAttribute("role", "application");
    element.tabIndex = 0;
    element.style.touchAction = flat ? "pan-y" : "none";
    element.style.cursor = "grab";
    let active = handles[0], held = false, offset = [0, 0];
    const clamp = (v, [a, b]) => Math.min(b, Math.max(a, v));
    function place([x, y]) {
      active.set([clamp(x, figure.x), flat ? active.get()[1] : clamp(y, figure.y)]);
    }
    function distance(handle, event) {
      const [x, y] = handle.get();
      return Math.hypot(figure.px(x) - event.offsetX, figure.py(y) - event.offsetY);
    }
    element.addEventListener("pointerdown", event => {
      active = handles.reduce((a, b) => (distance(b, event) < distance(a, event) ? b : a));
      const [x, y] = active.get();
      const touch = event.pointerType === "touch";
      const close = distance(active, event) < (touch ? 40 : 24); // a grip keeps its distance, a click elsewhere jumps
      if (flat && touch && !close) return; // that finger scrolls the page
      offset = close ? [figure.px(x) - event.offsetX, figure.py(y) - event.offsetY] : [0, 0];
      held = true;
      element.setPointerCapture(event.pointerId);
      place(figure.at(event.offsetX + offset[0], event.offsetY + offset[1]));
    });
    element.addEventListener("pointermove", event => {
      if (held) place(figure.at(event.offsetX + offset[0], event.offsetY + offset[1]));
    });
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => { held = false; });
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    element.addEventListener("keydown", event => {
      const way = ways[event.key];
      if (!way || event.ctrlKey || event.altKey || event.metaKey || (flat && way[1])) return;
      event.preventDefault();
      event.stopPropagation(); // the theme turns pages with the arrow keys
      const size = step * (event.shiftKey ? 10 : 1);
      const [x, y] = active.get();
      place([x + way[0] * size, y + way[1] * size]);
    });
    return index => { active = handles[index]; };
  };

  live.pen = (figure, state, step, { draw, moved }) => {
    const { element } = figure;
    element.setAttribute("role", "application");
    element.tabIndex = 0;
    element.style.cssText += "touch-action: none; cursor: crosshair";
    const clamp = (v, range) => Math.min(Math.max(...range), Math.max(Math.min(...range), v));
    const inside = ([x, y]) => [clamp(x, figure.x), clamp(y, figure.y)];
    let held = false;
    element.addEventListener("pointerdown", event => {
      held = true;
      element.setPointerCapture(event.pointerId);
      draw(inside(figure.at(event.offsetX, event.offsetY)), true);
      moved();
    });
    element.addEventListener("pointermove", event => {
      if (!held) return;
      const { left, top } = element.getBoundingClientRect(), events = event.getCoalescedEvents();
      for (const e of events.length ? events : [event]) draw(inside(figure.at(e.clientX - left, e.clientY - top)), false);
      moved();
    });
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => { held = false; });
    for (const change of ["focus", "blur"]) {
      element.addEventListener(change, () => { state.down = false; figure.redraw(); });
    }
    const up = figure.y[1] > figure.y[0] ? 1 : -1;
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, up], ArrowDown: [0, -up] };
    element.addEventListener("keydown", event => {
      const way = ways[event.key], size = event.shiftKey ? 5 * step : step;
      if (event.ctrlKey || event.altKey || event.metaKey || !(way || event.key === " ")) return;
      event.preventDefault();
      event.stopPropagation(); // the theme turns pages with the arrow keys
      if (way) state.pen = inside(state.pen.map((v, j) => v + way[j] * size));
      else state.down = !state.down;
      if (state.down) draw(state.pen, !way);
      moved();
    });
  };

  live.animate = (step, milliseconds = 900) => {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) { step(1); return; }
    let start;
    requestAnimationFrame(function frame(now) {
      start ??= now;
      const t = Math.min(1, (now - start) / milliseconds);
      step(t * t * (3 - 2 * t));
      if (t < 1) requestAnimationFrame(frame);
    });
  };

  live.gaussian = (z, mu, sigma) => Math.exp(-0.5 * ((z - mu) / sigma) ** 2) / (sigma * Math.sqrt(2 * Math.PI));

  // eq-kl-gaussian-pair
  live.gaussianKl = (muQ, sigmaQ, muP, sigmaP) =>
    Math.log(sigmaP / sigmaQ) + (sigmaQ ** 2 + (muQ - muP) ** 2) / (2 * sigmaP ** 2) - 0.5;

  live.random = seed => () => { // mulberry32
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };

  live.normal = next => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
})();
