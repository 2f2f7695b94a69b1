// Pages' data made by hand, for what no model can be made to say.

// Numbers that look random and are the same every time.
function numbers(seed) {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

const nats = (probs) => -probs.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);

// A text in which each layer holds `words[i % words.length]`-like opinions that
// turn, at some depth, to what follows. `rows` layers, `columns` positions.
export function made(rows, columns, { top = 5, prompt = 4 } = {}) {
  const random = numbers(7);
  const words = [
    " Victoria",
    " Vancouver",
    " the",
    "\n",
    " Canada",
    " is",
    ",",
    " city",
    "",
    " a\u202eb",
    "�",
    " Ottawa",
  ];
  const tokens = Object.fromEntries(words.map((word, id) => [id, word]));
  const layers = Array.from({ length: rows }, (_, row) => row);
  const positions = Array.from({ length: columns }, (_, column) => {
    const candidates = [...words.keys()]
      .map((id) => ({ id, key: random() }))
      .sort((a, b) => a.key - b.key)
      .map(({ id }) => id);
    const [late, early, ...rest] = candidates;
    const turn = Math.floor(rows * (0.3 + 0.5 * random()));
    const probs = layers.map((row) => {
      const certain = 1 / (1 + Math.exp((-8 * (row - turn)) / rows));
      const weights = new Map([
        [late, 0.85 * certain],
        [early, 0.35 * (1 - certain) + 0.08],
      ]);
      rest.forEach((id, i) =>
        weights.set(id, (0.3 * (1 - certain) + 0.02) / (i + 2) + 0.01 * random()),
      );
      return weights;
    });
    const best = probs.map((weights) => [...weights].sort((a, b) => b[1] - a[1]));
    const firsts = best.map(([[id]]) => id);
    const settled = layers.findLast((row) => row > 0 && firsts[row] !== firsts[row - 1]) ?? 0;
    const changed = column % 7 === 5;
    const before = best[rows - 1][0];
    const after = changed ? [early, 0.44] : [before[0], before[1] * 0.95];
    return {
      position: column,
      id: column === 0 ? 2 : (column * 5) % words.length,
      next: column === columns - 1 ? null : ((column + 1) * 5) % words.length,
      generated: column >= prompt - 1 && column < columns - 1,
      before,
      after,
      changed,
      settling_depth: settled,
      entropy: probs.map((weights) => nats([...weights.values()])),
      jsd: probs.map((weights) => Math.abs(weights.get(late) - before[1]) * 0.7),
      top: best.map((list) => list.slice(0, top).flat()),
      paths: candidates.slice(0, 8).map((id) => [id, ...probs.map((weights) => weights.get(id))]),
      ranks: [],
      votes: null,
      contrast: null,
      margins: null,
      carried: [],
    };
  });
  return {
    title: "Made by hand",
    version: "0.1.0",
    model: "none",
    method: "sled(evolution-rate=2)",
    method_name: "sled",
    exit_norm: "raw",
    layers,
    tokens,
    pinned: [],
    open: null,
    positions,
  };
}

// Four layers, three positions: every number is known, and every field is used.
export function small() {
  const position = (fields) => ({
    generated: false,
    changed: false,
    entropy: [4, 3, 2, 1],
    jsd: [0.6, 0.4, 0.2, 0],
    votes: null,
    contrast: null,
    margins: null,
    carried: [],
    ranks: [[9, 3, 2, 2]],
    ...fields,
  });
  return {
    title: "The capital is",
    version: "0.1.0",
    model: "tiny",
    method: "sled(evolution-rate=2, layers=0..3)",
    method_name: "sled",
    exit_norm: "raw",
    layers: [0, 2, 4, 6],
    pinned: [12],
    open: null,
    tokens: {
      1: "The",
      2: " capital",
      3: " is",
      12: " Victoria",
      17: " Vancouver",
      20: "\n",
      21: "",
      30: " of",
    },
    positions: [
      position({
        position: 0,
        id: 1,
        next: 2,
        before: [2, 0.5],
        after: [2, 0.6],
        settling_depth: 4,
        top: [
          [30, 0.25, 20, 0.125],
          [30, 0.3, 2, 0.2],
          [2, 0.4, 30, 0.2],
          [2, 0.5, 30, 0.1],
        ],
        paths: [
          [2, 0.01, 0.2, 0.4, 0.5],
          [30, 0.25, 0.3, 0.2, 0.1],
          [12, 0.001, 0.001, 0.001, 0.001],
        ],
      }),
      position({
        position: 1,
        id: 2,
        next: 3,
        before: [3, 0.9],
        after: [3, 0.9],
        settling_depth: 2,
        top: [
          [21, 0.25, 20, 0.125],
          [3, 0.3, 2, 0.2],
          [3, 0.4, 30, 0.2],
          [3, 0.9, 30, 0.05],
        ],
        paths: [
          [3, 0.1, 0.3, 0.4, 0.9],
          [21, 0.25, 0.1, 0, 0],
          [12, 0.001, 0.001, 0.001, 0.001],
        ],
      }),
      position({
        position: 2,
        id: 3,
        next: 12,
        generated: true,
        changed: true,
        before: [17, 0.41],
        after: [12, 0.36],
        settling_depth: 6,
        contrast: 2,
        margins: [-0.28, 0.5, 1],
        carried: [
          [4, 0.75],
          [2, 0.25],
        ],
        top: [
          [20, 0.05, 21, 0.04],
          [12, 0.2, 17, 0.1],
          [12, 0.45, 17, 0.3],
          [17, 0.41, 12, 0.31],
        ],
        paths: [
          [17, 0.0001, 0.1, 0.3, 0.41],
          [12, 0.02, 0.2, 0.45, 0.31],
          [20, 0.05, 0, 0, 0],
        ],
        votes: {
          tokens: [12, 17],
          layers: [0, 2, 4],
          shares: [
            [0, 0],
            [0.2, 0.05],
            [0.55, 0.2],
          ],
        },
      }),
    ],
  };
}
