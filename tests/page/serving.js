// Servers for the tests of the page of `luge serve`, and the page in a browser.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mock } from "./mock.js";
import { context, luge } from "./pages.js";

export const hasServer = spawnSync(luge, ["serve", "--help"]).status === 0;

// `luge serve` with the built-in model, at a port that is free.
export async function real() {
  const flags = ["serve", "-m", "atlas", "--port", "0", "--threads", "1"];
  const server = spawn(luge, flags, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const address = await new Promise((resolve, reject) => {
    const listen = (data) => {
      said += data;
      const found = said.match(/http:\/\/127\.0\.0\.1:\d+/);
      if (found) resolve(`${found[0]}/`);
    };
    server.stdout.on("data", listen);
    server.stderr.on("data", listen);
    server.on("error", reject);
    server.on("exit", () => reject(new Error(`luge serve has ended:\n${said}`)));
  });
  while (!(await fetch(`${address}health`)).ok) await new Promise((go) => setTimeout(go, 100));
  const close = async () => {
    server.kill("SIGTERM");
    if (server.exitCode == null) await once(server, "exit");
  };
  return { address, close };
}

// Opens the page of a server. `done()` closes both, and fails if the page logged an error
// that is not `expected`, or asked for anything elsewhere.
export async function chatOn(server, { expected = null, storage = {}, ...options } = {}) {
  const browser = await context(options);
  const page = await browser.newPage();
  page.setDefaultTimeout(20000);
  await page.addInitScript((storage) => {
    for (const [name, value] of Object.entries(storage)) localStorage.setItem(name, value);
  }, storage);
  const wrong = [];
  const note = (text) => expected?.test(text) || wrong.push(text);
  page.on(
    "console",
    (message) => ["error", "warning"].includes(message.type()) && note(message.text()),
  );
  page.on("pageerror", (error) => wrong.push(`${error}`));
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(server.address))
      wrong.push(`asked for ${request.url()}`);
  });
  await page.goto(server.address);
  const done = async () => {
    await browser.close();
    await server.close();
    if (wrong.length) throw new Error(wrong.join("\n"));
  };
  return { page, done };
}

export { mock };
