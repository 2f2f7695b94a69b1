// Where the tests' pages come from, and the browser that opens them.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL, fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../..", import.meta.url));
const built = join(resolve(root, process.env.CARGO_TARGET_DIR ?? "target"), "release");
export const luge = join(built, "luge");
const folder = mkdtempSync(join(tmpdir(), "luge-page-"));
let written = 0;

// What `luge lens` writes for a prompt, with the built-in model.
export function lens(prompt, ...flags) {
  const file = join(folder, `${(written += 1)}.html`);
  execFileSync(luge, ["lens", "-m", "atlas", prompt, ...flags, "--html", file], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return readFileSync(file, "utf8");
}

// The pages of invented runs, by their names.
let reports;
export function report(name) {
  if (!reports) {
    reports = join(folder, "reports");
    mkdirSync(reports);
    execFileSync(join(built, "examples", "sample_report"), [reports], { stdio: "inherit" });
  }
  return readFileSync(join(reports, `${name}.html`), "utf8");
}

// The data in a page.
const DATA = /(<script type="application\/json" id="data">)(.*?)(<\/script>)/s;
export const dataOf = (html) => JSON.parse(html.match(DATA)[2]);

// A page with other data.
export function withData(html, data) {
  const json = JSON.stringify(data).replace(
    /[<>&]/g,
    (c) => `\\u00${c.charCodeAt(0).toString(16)}`,
  );
  return html.replace(DATA, (_, start, __, end) => start + json + end);
}

// The page that luge writes, with other data.
let template;
export function pageOf(data) {
  template ??= lens("The capital of British Columbia is", "-n", "2");
  return withData(template, data);
}

let browser;
export async function start() {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export async function stop() {
  await browser?.close();
  rmSync(folder, { recursive: true });
}

export const context = (options) =>
  browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });

// Opens a page from a file, as its readers do. `done()` closes it, and fails if
// the page logged an error or asked for anything besides itself.
export async function opened(html, { hash = "", ...options } = {}) {
  const file = join(folder, `${(written += 1)}.html`);
  writeFileSync(file, html);
  const address = pathToFileURL(file).href;
  const opening = await context(options);
  const page = await opening.newPage();
  page.setDefaultTimeout(30000);
  const wrong = [];
  page.on(
    "console",
    (message) => ["error", "warning"].includes(message.type()) && wrong.push(message.text()),
  );
  page.on("pageerror", (error) => wrong.push(`${error}`));
  page.on("dialog", (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    const { protocol } = new URL(request.url());
    if (request.url().split("#")[0] !== address && protocol !== "data:")
      wrong.push(`asked for ${request.url()}`);
  });
  await page.goto(address + hash);
  const done = async () => {
    await opening.close();
    if (wrong.length) throw new Error(wrong.join("\n"));
  };
  return { page, done };
}
