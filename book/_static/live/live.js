/* Live figures, without a server: classic scripts only, since pages opened from disk may load nothing else.

In a page:  :::{admonition} Try it: ...     class: live live-NAME
When that box comes near the window, tools.js and NAME.js are injected, and NAME.js calls
    live.register("NAME", host => ...)      host: an empty <div class="live-body"> at the end of the box, once a box.
Large data live in scripts of their own: live.load("FILE") is a Promise of what _static/live/FILE.js hands to
live.provide("FILE", object).
A builder ends with live.expose(host, state, {update, numbers, figures}), which calls update() and sets
host.live = {state, set(values), numbers(), draw()}: all that is shown, to full precision, for the tests. update() shows
the state everywhere; set() changes it and updates; draw() paints the figures at once.

tools.js gives (a control returns show(), which takes its value from the state again):
    live.slider(parent, state, key, {label, min, max, step, format}, changed)    <input type=range> bound to state[key]
    live.choice(parent, state, key, {label, options: [[value, text], ...]}, changed)   <select> bound to state[key]
    live.number(parent, state, key, {label, whole}, changed)    a number above 0; any other entry is marked, and not used
    live.button(parent, text, act)
    live.row(parent)                        a <div> whose controls stand side by side and wrap
    live.canvas(parent, {width, height, x: [a, b], y: [a, b], margin, label}, draw) -> figure
        width: at most so many CSS pixels; height: CSS pixels, or a function of the width; margin: [top, right, bottom, left].
        draw(context, figure) paints in CSS pixels; figure: {element, width, height, colours, x, y,
        px(x), py(y), at(px, py) -> [x, y], redraw() with the next frame, draw() at once}. Repaints on resize and theme change.
    live.axis(context, figure, label)       the horizontal axis of figure.x, with whole-numbered ticks
    live.curve(context, figure, f, colour, {dash, fill, base})      y = f(x) over figure.x
    live.shade(context, figure, density, colour)    density([x, y]) of the plane as so much colour, on one scale everywhere
    live.dot(context, px, py, radius, colour)       live.grip(context, figure, x, y, colour, name): what can be dragged
    live.drag(figure, [{get() -> [x, y], set([x, y])}, ...], {step, flat})   pointer and arrow keys (Shift: ten steps);
        the nearest handle is taken; flat: only x moves, and a finger can still scroll the page; returns take(index), for
        the keys to move that handle
    live.pen(figure, state, step, {draw(point, begins), moved()})   draws with pointer, or arrow keys (Shift: five steps) and
        the space bar: state.pen [x, y] is where the keys have it, state.down whether it writes
    live.readout(parent) -> say(text)       visible at once, spoken when it has settled
    live.colours() -> {ink, muted, line, paper, blue, red, green, purple}
    live.animate(step, milliseconds)        step(t), t from 0 to 1; straight to step(1) where motion is unwelcome
    live.random(seed) -> next()             uniform in (0, 1), the same on every machine;  live.normal(next)
    live.gaussian(z, mu, sigma)             density of N(mu, sigma^2);  live.gaussianKl(muQ, sigmaQ, muP, sigmaP)
*/
window.live = (() => {
  const builders = {}, loaded = {}, provided = {};

  function load(file) {
    loaded[file] ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${document.documentElement.dataset.content_root}_static/live/${file}.js`;
      script.onload = () => resolve(provided[file]);
      script.onerror = () => reject(new Error(`${file}.js did not load`));
      document.head.append(script);
    });
    return loaded[file];
  }

  async function start(box) {
    const name = [...box.classList].find(c => c.startsWith("live-")).slice(5);
    const host = document.createElement("div");
    host.className = "live-body";
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", box.querySelector(".admonition-title").textContent);
    box.append(host);
    try {
      await load("tools");
      await load(name);
      await builders[name](host);
    } catch (error) {
      host.textContent = `This figure cannot be shown: ${error.message}.`;
      throw error;
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const near = new IntersectionObserver(entries => {
      for (const entry of entries) {
        if (!entry.isIntersecting || matchMedia("print").matches) continue;
        near.unobserve(entry.target);
        start(entry.target);
      }
    }, { rootMargin: "200px" });
    document.querySelectorAll(".admonition.live").forEach(box => near.observe(box));
  });

  // Formulas and figures that come late move the place that the address names: it is shown again, for ten seconds at
  // most, until the reader moves on.
  addEventListener("DOMContentLoaded", () => {
    const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    const moved = new ResizeObserver(() => place.scrollIntoView({ behavior: "instant" }));
    const stop = () => moved.disconnect();
    moved.observe(document.querySelector("article"));
    for (const act of ["wheel", "touchstart", "pointerdown", "keydown"]) addEventListener(act, stop, { once: true });
    setTimeout(stop, 10000);
  });

  return {
    load,
    provide: (file, object) => { provided[file] = object; },
    register: (name, build) => { builders[name] = build; },
  };
})();
