// The pictures of pages in README.md, light and dark:
//   node picture.js FOLDER

import { join } from "node:path";
import { lens, opened, start, stop } from "./pages.js";
import { chatOn, real } from "./serving.js";

const folder = process.argv[2];
const COLOURS = [
  ["", "light"],
  ["-dark", "dark"],
];
const html = lens(
  "If you want to visit the government of Ontario, go to",
  ...["-n", "2", "--pin", " Toronto", "--position", "-2"],
);
await start();
for (const [suffix, colorScheme] of COLOURS) {
  const { page, done } = await opened(html, {
    viewport: { width: 1200, height: 1110 },
    colorScheme,
  });
  await page.screenshot({ path: join(folder, `lens${suffix}.png`) });
  await done();
}
for (const [suffix, colorScheme] of COLOURS) {
  const { page, done } = await chatOn(await real(), {
    viewport: { width: 1200, height: 830 },
    colorScheme,
  });
  await page.getByLabel("Compare with a second method").check();
  await page.getByLabel("Second method", { exact: true }).selectOption("greedy");
  await page.locator("#question").fill("If you want to visit the government of Ticino, go to");
  await page.keyboard.press("Enter");
  await page.waitForFunction(
    () => document.querySelector(".answer") && !document.querySelector(".running"),
  );
  await page.locator(".answer .changed").first().click();
  await page.mouse.move(0, 0);
  await page.screenshot({ path: join(folder, `serve${suffix}.png`) });
  await done();
}
await stop();
