// A server of the API that says what a test wants: what no model can be made to do.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const FOLDERS = ["../../crates/luge-server/assets", "../../crates/luge-page/assets"];
const read = (name) => {
  for (const folder of FOLDERS) {
    try {
      return readFileSync(new URL(`${folder}/${name}`, import.meta.url), "utf8");
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
  }
  throw new Error(`no asset ${name}`);
};

// The page as the server makes it: a template that names its parts, and a policy that
// lets run what is in it and nothing else.
const PAGE = read("chat.html").replace(/\{\{(.*?)\}\}/g, (_, name) => read(name));
const hash = (tag) => {
  const [, text] = PAGE.match(new RegExp(`<${tag}[^>]*>(.*?)</${tag}>`, "s"));
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
};
const POLICY =
  `default-src 'none'; connect-src 'self'; script-src ${hash("script")}; ` +
  `style-src ${hash("style")}; img-src data:; base-uri 'none'; form-action 'none'; ` +
  "frame-ancestors 'none'";

const LAYERS = "Early exits to use: all, low, high, or indices and ranges [default: all]";
const MODELS = {
  object: "list",
  data: [
    {
      id: "atlas",
      object: "model",
      context_length: 512,
      layers: 12,
      default_decoding: { name: "sled", exit_norm: "raw", stages: [{ name: "sled" }] },
      methods: [
        { name: "greedy", summary: "The final layer alone", params: [] },
        {
          name: "sled",
          summary: "SLED: the final logits take a step towards what all layers know",
          params: [
            {
              name: "evolution_rate",
              default: 2,
              help: "The length of the step; 0 leaves only the cut [default: 2]",
              value: "RATE",
            },
            { name: "layers", default: [0, 1, 2, 3, 4, 5], help: LAYERS, value: "LAYERS" },
          ],
        },
        {
          name: "dola",
          summary: "DoLa: contrasts the final layer with an earlier one",
          params: [{ name: "layers", default: [0, 2, 4], help: LAYERS, value: "LAYERS" }],
        },
      ],
    },
  ],
};

const WORDS = ["The", " capital", " is", " Vancouver", " Victoria", ".", "\n", " of", " city", "é"];
const idOf = (text) => {
  const known = WORDS.indexOf(text);
  return known >= 0 ? known + 10 : 100 + [...text].reduce((sum, c) => sum + c.codePointAt(0), 0);
};

// What the layers say of a token, thirteen of them: they come to it one after the other,
// and where `instead` is given, the final layer falls back to that.
export function layersOf(text, { instead = null, method = "sled" } = {}) {
  const candidate = (text, prob) => ({ id: idOf(text), text, prob });
  const other = instead ?? (text === " of" ? " city" : " of");
  const share = (layer) => {
    const sure = 1 / (1 + Math.exp(6 - layer));
    return instead && layer > 9 ? 0.42 - 0.02 * (layer - 9) : 0.05 + 0.8 * sure;
  };
  const rest = (layer) => (instead && layer > 9 ? 0.44 : 0.3 * (1 - share(layer)));
  const layers = Array.from({ length: 13 }, (_, layer) => ({
    layer,
    top: [
      candidate(text, share(layer)),
      candidate(other, rest(layer)),
      candidate(" a", 0.02),
      candidate("\n", 0.01),
      candidate("", 0.005),
    ].sort((a, b) => b.prob - a.prob),
    entropy: 5 - layer / 3,
    jsd_to_final: (12 - layer) / 30,
  }));
  const final = layers.at(-1).top[0];
  const isMethod = method !== "greedy";
  return {
    id: idOf(text),
    text,
    changed: instead != null,
    before: final,
    after: candidate(text, isMethod ? 0.46 : final.prob),
    settling_depth: instead ? 10 : 5,
    layers,
    paths: [text, other].map((word, i) => ({
      id: idOf(word),
      text: word,
      probs: layers.map(({ layer }) => (i ? rest(layer) : share(layer))),
    })),
    ...(instead && {
      margins: { final_layer: -0.2, method: 0.6, votes: 0.5 },
      carried: [{ layer: 9, votes: 0.3 }],
    }),
    ...(isMethod && {
      votes: {
        token_ids: [idOf(text), idOf(other)],
        layers: layers
          .slice(0, 12)
          .map(({ layer }) => ({ layer, shares: [share(layer) / 12, rest(layer) / 12] })),
      },
    }),
  };
}

// An answer as [text, { instead }] a token.
export const ANSWERS = {
  greedy: [["The"], [" capital"], [" is"], [" Vancouver"], ["."]],
  sled: [["The"], [" capital"], [" is"], [" Victoria", { instead: " Vancouver" }], ["."]],
  long: Array.from({ length: 120 }, (_, i) => [[" city", " of", " the", ".\n"][i % 4]]),
};

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Answers a request as the API does. `tokens` is as in ANSWERS, or chunks as they are in
// `chunks`; `pace` are the milliseconds between two.
export async function stream(response, body, options = {}) {
  const method = body.decoding?.method ?? body.decoding ?? "sled";
  const { tokens = ANSWERS[method] ?? ANSWERS.sled, pace = 0, finish = "stop" } = options;
  const chunks =
    options.chunks ??
    tokens.map(([text, how]) => ({
      delta: { content: text },
      ...(body.layers && { layers: { tokens: [layersOf(text, { ...how, method })] } }),
    }));
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (data) => response.write(`data: ${JSON.stringify(data)}\n\n`);
  const chunk = (choice) => ({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    model: body.model,
    choices: [{ index: 0, finish_reason: null, ...choice }],
  });
  const stages = [{ name: method }];
  send({
    ...chunk({ delta: { role: "assistant", content: "" } }),
    decoding: { name: method, exit_norm: "raw", stages },
  });
  response.write(": still here\n\n");
  for (const choice of chunks) {
    if (response.destroyed) return;
    if (pace) await wait(pace);
    send(chunk(choice));
  }
  if (options.error) return void (send({ error: options.error }), response.end());
  if (options.broken) return void (await wait(50), response.destroy());
  send(chunk({ delta: {}, finish_reason: finish }));
  const completion_tokens = chunks.length;
  const prompt_tokens_details = { cached_tokens: 4 };
  const usage = { prompt_tokens: 20, completion_tokens, total_tokens: 20 + completion_tokens };
  send({ ...chunk({}), choices: [], usage: { ...usage, prompt_tokens_details } });
  response.end("data: [DONE]\n\n");
}

export function refuse(response, status, message, { code = null, headers = {} } = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ error: { message, type: "error", param: null, code } }));
}

// Starts a server. `chat(response, body, request)` answers chats; what was asked is in
// `asked`. `models` may be a function likewise.
export async function mock({ chat = stream, models = null } = {}) {
  const asked = [];
  const server = createServer(async (request, response) => {
    if (request.url === "/") {
      response.writeHead(200, {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": POLICY,
      });
      return void response.end(PAGE);
    }
    if (request.url === "/v1/models") {
      if (models && models(response, request)) return;
      response.writeHead(200, { "content-type": "application/json" });
      return void response.end(JSON.stringify(MODELS));
    }
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = JSON.parse(Buffer.concat(parts));
    const entry = { body, gone: false };
    asked.push(entry);
    response.on("close", () => (entry.gone = !response.writableFinished));
    await chat(response, body, request);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { address: `http://127.0.0.1:${server.address().port}/`, asked, close };
}
