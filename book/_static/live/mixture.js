/* Mixtures of diagonal Gaussians in the plane (eq-mixture-prior), and their fit by expectation-maximisation.

   const tool = await live.load("mixture");    a mixture: [{weight, mu: [z1, z2], sigma: [s1, s2], log}, ...]
   tool.answers(sigma, centres): round Gaussians of equal weight      tool.draw(mixture, n, next): of one with equal weights
   tool.logDensity(mixture, z), tool.mean(mixture, points): this, on average
   tool.begin(points, m, next), tool.step(mixture, points): the fit at the start, and after one step more */
(() => {
  const FLOOR = 0.05; // no sigma is smaller
  const part = (weight, mu, sigma) => (
    { weight, mu, sigma, log: Math.log(weight) - Math.log(2 * Math.PI * sigma[0] * sigma[1]) });
  const answers = (width, centres) => centres.map(mu => part(1 / centres.length, mu, [width, width]));

  const shares = new Float64Array(200); // how likely each Gaussian is the one a point is from, up to a factor: 1 / total
  let total;
  function logDensity(mixture, [a, b]) { // and, beside it, these shares
    let top = -Infinity;
    for (let k = 0; k < mixture.length; k++) {
      const { log, mu, sigma } = mixture[k];
      shares[k] = log - 0.5 * (((a - mu[0]) / sigma[0]) ** 2 + ((b - mu[1]) / sigma[1]) ** 2);
      if (shares[k] > top) top = shares[k];
    }
    total = 0;
    for (let k = 0; k < mixture.length; k++) total += shares[k] = Math.exp(shares[k] - top);
    return top + Math.log(total);
  }
  const mean = (mixture, points) => points.reduce((all, z) => all + logDensity(mixture, z), 0) / points.length;

  function draw(mixture, n, next) {
    return Array.from({ length: n }, () => {
      const { mu, sigma } = mixture[Math.floor(next() * mixture.length)];
      return mu.map((v, j) => v + sigma[j] * live.normal(next));
    });
  }

  function begin(points, m, next) { // at points that lie apart, each drawn by its squared distance from those before
    const far = points.map(() => 1), chosen = [];
    while (chosen.length < m) {
      let rest = next() * far.reduce((a, b) => a + b), i = 0;
      while (i < points.length - 1 && (rest -= far[i]) > 0) i += 1;
      chosen.push(points[i]);
      points.forEach(([a, b], k) => {
        const d = (a - points[i][0]) ** 2 + (b - points[i][1]) ** 2;
        far[k] = chosen.length === 1 ? d : Math.min(far[k], d);
      });
    }
    return chosen.map(mu => part(1 / m, mu, [0.5, 0.5]));
  }

  function step(mixture, points) { // shares of the points, then the best Gaussians for them; no sigma below FLOOR
    const all = mixture.map(() => [0, 0, 0, 0, 0]); // sums of shares, of coordinates and of their squares
    for (const z of points) {
      logDensity(mixture, z);
      all.forEach((sums, k) => {
        const share = shares[k] / total;
        sums[0] += share;
        for (const j of [0, 1]) { sums[1 + j] += share * z[j]; sums[3 + j] += share * z[j] ** 2; }
      });
    }
    return all.map(([weight, ...sums], k) => {
      if (weight < 1e-9) return part(weight / points.length, mixture[k].mu, mixture[k].sigma); // it has lost all points
      const mu = [0, 1].map(j => sums[j] / weight);
      const sigma = mu.map((m, j) => Math.sqrt(Math.max(FLOOR ** 2, sums[2 + j] / weight - m ** 2)));
      return part(weight / points.length, mu, sigma);
    });
  }

  live.provide("mixture", { answers, draw, logDensity, mean, begin, step });
})();
