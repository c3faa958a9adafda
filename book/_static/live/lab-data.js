/* What the lab learns from: small digits (tools/live_lab.py describes their file) and points in the plane.

   const data = await live.load("lab-data");
   await data.load(name, seed, drawn) -> {n_pixels, points: true in the plane, own: the reader's, train: {x, labels}, held_out: {x, labels},
       mean, noise: standard normal numbers, side}; x has one example after the other; labels only of digits
   data.names -> [[value, text], ...];  data.write(points) and data.read(text): the reader's own points in the address */
(() => {
  const N_TRAIN = 1000, N_HELD_OUT = 400, EDGE = 2; // of points; EDGE: half the side of the square they lie in
  const ENOUGH = 16; // points of the reader's own; with fewer there is a figure eight
  const shapes = { // a point of the shape, without its noise
    ring: u => [Math.cos(2 * Math.PI * u), Math.sin(2 * Math.PI * u)],
    moons: u => (u < 0.5
      ? [Math.cos(2 * Math.PI * u) - 0.5, Math.sin(2 * Math.PI * u) - 0.25]
      : [0.5 - Math.cos(2 * Math.PI * (u - 0.5)), 0.25 - Math.sin(2 * Math.PI * (u - 0.5))]),
    spiral: u => {
      const turn = 3.5 * Math.PI * Math.sqrt(u);
      return [turn * Math.cos(turn) / 8, turn * Math.sin(turn) / 8];
    },
    drawn: u => [Math.sin(4 * Math.PI * u), 1.2 * Math.sin(2 * Math.PI * u)],
    blobs: u => {
      const which = Math.floor(9 * u);
      return [which % 3 - 1, Math.floor(which / 3) - 1];
    },
  };
  const names = [["digits", "digits, 14 \u00d7 14"], ["ring", "a ring"], ["moons", "two moons"], ["spiral", "a spiral"],
    ["blobs", "nine blobs"], ["drawn", "points that I draw"]];
  const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

  function bytes(base64) {
    const text = atob(base64);
    return Uint8Array.from(text, letter => letter.charCodeAt(0));
  }

  function unpack({ labels, lit, ink }, size, levels) {
    const bits = bytes(lit), pairs = bytes(ink), x = new Float32Array(labels.length * size);
    for (let i = 0, k = 0; i < x.length; i++) {
      if (!(bits[i >> 3] >> (i & 7) & 1)) continue;
      x[i] = (pairs[k >> 1] >> 4 * (k & 1) & 15) / levels;
      k += 1;
    }
    return { x, labels };
  }

  function mean(x, D) {
    const total = new Float64Array(D), n = x.length / D;
    for (let i = 0; i < x.length; i++) total[i % D] += x[i] / n;
    return Float32Array.from(total);
  }

  async function digits() {
    const { side, levels, train, held_out, noise } = await live.load("lab-digits"), size = side * side;
    const { numbers } = await live.load("network"), parts = [train, held_out].map(part => unpack(part, size, levels));
    return { side, n_pixels: size, points: false, train: parts[0], held_out: parts[1], mean: mean(parts[0].x, size),
      noise: numbers(noise, "float32") };
  }

  function points(name, seed, drawn) {
    const next = live.random(seed + 1000), noise = () => live.normal(next);
    const draw = n => Float32Array.from(Array.from({ length: n }, () => shapes[name](next()).map(v => v + 0.08 * noise())).flat());
    const own = name === "drawn" && drawn.length >= ENOUGH, every = rest => Float32Array.from(drawn.filter((_, i) => i % 2 === rest).flat());
    const [train, held_out] = own ? [every(0), every(1)] : [draw(N_TRAIN), draw(N_HELD_OUT)];
    return { n_pixels: 2, points: true, own, train: { x: train }, held_out: { x: held_out }, mean: mean(train, 2),
      noise: Float32Array.from({ length: held_out.length / 2 }, noise) };
  }

  const load = async (name, seed, drawn) => (name === "digits" ? digits() : points(name, seed, drawn));

  // Two letters a point: 64 places across and 64 up.
  const letter = v => ALPHABET[Math.min(63, Math.max(0, Math.floor((v + EDGE) / (2 * EDGE) * 64)))];
  const write = all => all.flat().map(letter).join("");
  function read(text) {
    const places = [...text].map(c => ALPHABET.indexOf(c)).filter(v => v >= 0).map(v => (v + 0.5) / 64 * 2 * EDGE - EDGE);
    return Array.from({ length: Math.floor(places.length / 2) }, (_, i) => places.slice(2 * i, 2 * i + 2));
  }

  live.provide("lab-data", { load, names, write, read, EDGE });
})();
