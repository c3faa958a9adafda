/* The forward pass of one exported network: the format is described in vae_lib/export.py.

   const { read, numbers, open, affine } = await live.load("network");
   read(exported)(numbers) -> what the network makes of them: the decoder's pixels, or the encoder's {mu, logvar}
   numbers(base64, dtype) -> Float32Array;  open(layer, dtype) -> that layer with weight and bias read;  affine(layer, x) */
(() => {
  const activations = {
    relu: a => Math.max(0, a),
    silu: a => a / (1 + Math.exp(-a)),
    softplus: a => Math.log1p(Math.exp(-Math.abs(a))) + Math.max(0, a),
    tanh: Math.tanh,
  };
  const pixels = {
    bernoulli: a => 1 / (1 + Math.exp(-a)),
    gaussian: a => Math.min(1, Math.max(0, a)),
    continuous_bernoulli: a => (Math.abs(a) < 1e-3 ? 0.5 + a / 12 : 1 / (1 - Math.exp(-a)) - 1 / a),
  };

  function half(bits) { // sign, five bits of exponent, ten of fraction; infinities are never exported
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
  }

  function numbers(base64, dtype) {
    const text = atob(base64), bytes = new Uint8Array(text.length), view = new DataView(bytes.buffer);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const size = dtype === "float16" ? 2 : 4, values = new Float32Array(bytes.length / size);
    for (let i = 0; i < values.length; i++) {
      values[i] = size === 2 ? half(view.getUint16(2 * i, true)) : view.getFloat32(4 * i, true);
    }
    return values;
  }

  function affine({ n_in, n_out, weight, bias }, x) {
    const y = Float32Array.from(bias);
    for (let row = 0, k = 0; row < n_out; row++) {
      let sum = 0;
      for (let i = 0; i < n_in; i++) sum += weight[k++] * x[i];
      y[row] += sum;
    }
    return y;
  }

  const open = (layer, dtype) => ({ ...layer, weight: numbers(layer.weight, dtype), bias: numbers(layer.bias, dtype) });

  function read({ part, dtype, activation, likelihood, latent_dim, logvar_bound, layers }) {
    const ready = layers.map(layer => open(layer, dtype));
    return x => {
      const a = ready.reduce((h, layer, i) => affine(layer, i ? h.map(activations[activation]) : h), x);
      if (part === "decoder") return a.map(pixels[likelihood]);
      const bound = r => logvar_bound * Math.tanh(r / logvar_bound);
      return { mu: a.slice(0, latent_dim), logvar: a.slice(latent_dim).map(bound) };
    };
  }

  live.provide("network", { read, numbers, open, affine });
})();
