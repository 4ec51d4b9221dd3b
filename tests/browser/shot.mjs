#!/usr/bin/env node
// Takes the pictures that show the page: node tests/browser/shot.mjs FOLDER [--hub URL]
import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";
import { FakeHub } from "./fake_hub.mjs";
import { past, team } from "./scenes.mjs";

const folder = process.argv[2] ?? "build/pictures";
const given = process.argv.indexOf("--hub");
await mkdir(folder, { recursive: true });
let hub;
let url = process.argv[given + 1];
if (given < 0) {
  const { world } = team();
  for (let i = 0; i < 6; ++i) world.step(0.5);
  past(world);
  hub = await new FakeHub(world).listen();
  hub.run(1);
  url = hub.url;
}
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
for (const [name, width, height, colorScheme, scale, full] of [
  ["wall-dark", 1920, 1080, "dark", 1, false],
  ["wall-light", 1920, 1080, "light", 1, false],
  ["desk-dark", 1280, 800, "dark", 1, true],
  ["phone-light", 390, 844, "light", 2, false],
  ["phone-dark-whole", 390, 844, "dark", 1, true],
]) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme, deviceScaleFactor: scale });
  await page.goto(url);
  await page.waitForSelector("#nodes tbody tr");
  await page.waitForTimeout(2500);
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: full });
  await page.close();
}
await browser.close();
await hub?.close();
