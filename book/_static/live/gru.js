/* A decoder that writes strings, token after token, and its head: the format is described in tools/live_molecules.py.

   const { read } = await live.load("gru"), { tokens, write, gap } = await read(exported);
   write(z, choose) -> [{token, p}, ...]   p: probabilities of all tokens; choose(p) -> which is written; 0 is the last one
   gap(z) -> in eV, with normal noise of gap.noise */
(() => {
  const sigmoid = a => 1 / (1 + Math.exp(-a));

  function softmax(logits) {
    const most = Math.max(...logits), parts = [...logits].map(a => Math.exp(a - most));
    const sum = parts.reduce((a, b) => a + b);
    return parts.map(part => part / sum);
  }

  async function read(exported) {
    const { numbers, open, affine } = await live.load("network"), { dtype, tokens, length } = exported;
    const [start, input, hidden, out, first, last] = [
      ...["start", "input", "hidden", "out"].map(name => exported[name]), ...exported.gap.layers,
    ].map(layer => open(layer, dtype));
    const embedding = numbers(exported.embedding, dtype), width = embedding.length / tokens.length;

    function next(state, x) {
      const of = affine(input, x), from = affine(hidden, state), n = state.length;
      return state.map((h, i) => {
        const reset = sigmoid(of[i] + from[i]), keep = sigmoid(of[n + i] + from[n + i]);
        return (1 - keep) * Math.tanh(of[2 * n + i] + reset * from[2 * n + i]) + keep * h;
      });
    }

    function write(z, choose) {
      const row = [], x = new Float32Array(width + z.length); // as all that is multiplied: one kind is fast
      x.set(z, width);
      let state = affine(start, Float32Array.from(z)).map(Math.tanh), token = 0;
      do {
        x.set(embedding.subarray(width * token, width * (token + 1)));
        state = next(state, x);
        const p = softmax(affine(out, state));
        token = choose(p);
        row.push({ token, p });
      } while (token && row.length < length);
      return row;
    }

    const { mean, spread, noise } = exported.gap, relu = a => Math.max(0, a);
    const gap = z => mean + spread * affine(last, affine(first, Float32Array.from(z)).map(relu))[0];
    gap.noise = noise;
    return { tokens, write, gap };
  }

  live.provide("gru", { read });
})();
