// The layers of an answer's tokens, from what the API says of them to what depth.js draws.

// One generated token as a position of the lens. `before` is the token in front of it.
function positionOf(told, index, before) {
  const choice = ({ id, prob }) => [id, prob];
  const { votes, margins, layers } = told;
  return {
    position: index,
    id: before,
    next: told.id,
    generated: true,
    before: choice(told.before),
    after: choice(told.after),
    changed: told.changed,
    settling_depth: told.settling_depth,
    entropy: layers.map(({ entropy }) => entropy),
    jsd: layers.map(({ jsd_to_final }) => jsd_to_final),
    top: layers.map(({ top }) => top.flatMap(choice)),
    paths: (told.paths ?? []).map(({ id, probs }) => [id, ...probs]),
    ranks: [],
    votes: votes
      ? {
          tokens: votes.token_ids,
          layers: votes.layers.map(({ layer }) => layer),
          shares: votes.layers.map(({ shares }) => shares),
        }
      : null,
    contrast: told.contrast ?? null,
    margins: margins ? [margins.final_layer, margins.method, margins.votes] : null,
    carried: (told.carried ?? []).map(({ layer, votes }) => [layer, votes]),
  };
}

// All tokens of an answer as the data of a lens. In front of the first one stands the
// question, as a token of its own.
const QUESTION = -1;
function lensOf({ tokens, method, decoding, model }, question) {
  const texts = { [QUESTION]: `${question}\n` };
  const note = ({ id, text }) => (texts[id] = text);
  for (const told of tokens) {
    note(told);
    [told.before, told.after, ...(told.paths ?? [])].forEach(note);
    for (const { top } of told.layers) top.forEach(note);
  }
  return {
    title: question,
    version: "",
    model,
    method,
    method_name: decoding?.name ?? method,
    exit_norm: decoding?.exit_norm ?? "raw",
    layers: tokens[0].layers.map(({ layer }) => layer),
    tokens: texts,
    pinned: [],
    open: null,
    positions: tokens.map((told, i) => positionOf(told, i, tokens[i - 1]?.id ?? QUESTION)),
  };
}

// Whether what stands for a token's layers is something that can be drawn: it may come
// from a file.
function isLayers(told) {
  const isChoice = (choice) =>
    Number.isInteger(choice?.id) &&
    typeof choice.text === "string" &&
    typeof choice.prob === "number";
  const isPath = (rows) => (path) =>
    Number.isInteger(path?.id) &&
    typeof path.text === "string" &&
    Array.isArray(path.probs) &&
    path.probs.length === rows;
  const { layers, votes, paths, carried } = told ?? {};
  return (
    Number.isInteger(told?.id) &&
    typeof told.text === "string" &&
    isChoice(told.before) &&
    isChoice(told.after) &&
    Array.isArray(layers) &&
    layers.length > 0 &&
    layers.every(
      ({ layer, top }) => Number.isInteger(layer) && Array.isArray(top) && top.every(isChoice),
    ) &&
    (paths == null || (Array.isArray(paths) && paths.every(isPath(layers.length)))) &&
    (carried == null || Array.isArray(carried)) &&
    (votes == null ||
      (Array.isArray(votes.token_ids) &&
        Array.isArray(votes.layers) &&
        votes.layers.every(({ shares }) => Array.isArray(shares))))
  );
}

// What the tooltip says of a token.
function tokenNote(data, index) {
  const { before, after, changed, settling_depth, next } = data.positions[index];
  const line = (name, what, note) =>
    el("p", {}, el("span", { class: "lens-note" }, `${name} `), what, ` ${note}`);
  const settles =
    settling_depth === data.layers.at(-1) ? "the final layer" : `layer ${settling_depth}`;
  return changed
    ? [
        line("final layer", token(data, before[0]), percent(before[1])),
        line(data.method_name, token(data, after[0]), percent(after[1])),
      ]
    : [
        line(data.method_name, token(data, next), percent(after[1])),
        line("settles at", settles, ""),
      ];
}
