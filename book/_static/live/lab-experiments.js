/* What each experiment of the page sets; all else is as the lab begins. */
live.provide("lab-experiments", {
  fill: {},
  holes: { noise: "off", beta: 0 },
  collapse: { beta: 100 },
  spread: { beta: 1 / 128 },
  "warm-up": { beta: 4, warmup: 2000 },
  ring: { data: "ring", width: 32 },
  mistake: { mistake: "kl-averaged" },
});
