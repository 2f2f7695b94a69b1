// The pictures of the page in README.md, light and dark:
//   node picture.js FOLDER

import { join } from "node:path";
import { lens, opened, start, stop } from "./pages.js";

const folder = process.argv[2];
const html = lens(
  "If you want to visit the government of Ontario, go to",
  ...["-n", "2", "--pin", " Toronto", "--position", "-2"],
);
await start();
for (const [name, colorScheme] of [
  ["lens.png", "light"],
  ["lens-dark.png", "dark"],
]) {
  const { page, done } = await opened(html, {
    viewport: { width: 1200, height: 1110 },
    colorScheme,
  });
  await page.screenshot({ path: join(folder, name) });
  await done();
}
await stop();
