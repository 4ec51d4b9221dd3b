#!/usr/bin/env node
// Drives Debian's Chromium over the tracker's page.
//
//   node tests/browser/run.mjs [--page FOLDER] [NAME...]   over a fake hub that serves the built page; all tests or those
//                                                          whose name has a NAME in it
//   node tests/browser/run.mjs --hub URL [--fetched NAME]  checks of a real hub, where somebody fetches NAME
//
// The page has to be built before (npx vite build in modules/hub/page). Ends with "N passed, N failed".
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { built_page, start_fake_hub } from "./fake_hub.mjs";
import { hostile } from "./hostile.mjs";
import * as scenes from "./scenes.mjs";
import { World } from "./world.mjs";

const { values: options, positionals: wanted } = parseArgs({
  options: { hub: { type: "string" }, fetched: { type: "string" }, page: { type: "string", default: built_page }, chromium: { type: "string", default: "/usr/bin/chromium" } },
  allowPositionals: true,
});
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const root = process.getuid?.() === 0;
const browser = await chromium.launch({
  executablePath: options.chromium,
  // A stray request would fail at once and be seen; nothing is looked up.
  args: [...(root ? ["--no-sandbox"] : []), "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost", "--disable-background-networking"],
});

const wall = { width: 1920, height: 1080 };
const phone = { width: 390, height: 844 };
const tests = [];
const test = (name, body) => tests.push({ name, body });

/** A page that counts everything that must not happen. */
async function open(url, { viewport = wall, expected = [], ...how } = {}) {
  const context = await browser.newContext({ viewport, ...how });
  const page = await context.newPage();
  const trouble = [];
  const origin = new URL(url).origin;
  page.on("dialog", (dialog) => {
    trouble.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("pageerror", (error) => trouble.push(`script error: ${error}`));
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    if (!expected.some((pattern) => pattern.test(message.text()))) trouble.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith("data:")) trouble.push(`other origin: ${request.url()}`);
  });
  page.on("response", (response) => response.status() >= 400 && !expected.length && trouble.push(`${response.status()}: ${response.url()}`));
  page.on("popup", () => trouble.push("a window was opened"));
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(url);
  page.clean = async () => {
    assert.deepEqual(await page.evaluate(() => globalThis.violations), [], "violations of the content security policy");
    assert.deepEqual(trouble, []);
  };
  return page;
}

const live = (page, state = "Live") => page.locator('.link[role="status"]', { hasText: state }).waitFor({ timeout: 10_000 });
const tile = (page, name) => page.locator(".tile", { has: page.locator("h2", { hasText: name }) }).locator(".value");
async function until(what, check, limit = 10_000) {
  const end = Date.now() + limit;
  for (let last; ; await new Promise((done) => setTimeout(done, 50))) {
    try {
      if (await check()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw last ?? new Error(`not so after ${limit} ms: ${what}`);
  }
}

/** Serious and critical findings of axe, as short texts. */
async function findings(page) {
  // As a file of the page's origin would be: the policy forbids inline scripts, evaluate goes round it.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.slice(0, 3).map((node) => `${id}: ${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`));
}

/** Presses "show more" until there is no more. */
async function show_all(page, panel) {
  await until(`${panel} shows all`, () => page.evaluate((id) => {
    const more = document.querySelector(`${id} button.more`);
    more?.click();
    return !more;
  }, panel), 120_000);
}

/** The times between frames, and the tasks that held the page up for over 50 ms, while `meanwhile` goes on; all in ms. */
async function frames(page, meanwhile) {
  await page.evaluate(() => {
    const seen = (globalThis.seen = { times: [], tasks: [], from: performance.now() });
    seen.observer = new PerformanceObserver((list) => seen.tasks.push(...list.getEntries().map(({ duration }) => duration)));
    seen.observer.observe({ type: "longtask" });
    let last;
    requestAnimationFrame(function frame(now) {
      if (last !== undefined) seen.times.push(now - last);
      last = now;
      if (globalThis.seen === seen) requestAnimationFrame(frame);
    });
  });
  await meanwhile();
  const { times, tasks, lasted } = await page.evaluate(() => {
    const { times, tasks, observer, from } = globalThis.seen;
    globalThis.seen = undefined;
    observer.disconnect();
    return { times, tasks, lasted: performance.now() - from };
  });
  times.sort((a, b) => a - b);
  const part = (share) => times[Math.min(times.length - 1, Math.floor(share * times.length))];
  const found = { p50: part(0.5), p95: part(0.95), p99: part(0.99), longest: times.at(-1), held: tasks.reduce((sum, one) => sum + one, 0) / lasted };
  console.log(
    `#   ${times.length} frames in ${(lasted / 1000).toFixed(1)} s: p50 ${found.p50.toFixed(1)}, p95 ${found.p95.toFixed(1)}, p99 ${found.p99.toFixed(1)}, ` +
    `longest ${found.longest.toFixed(1)} ms; ${tasks.length} long tasks, longest ${Math.max(0, ...tasks)} ms, ${(100 * found.held).toFixed(0)} % of the time`);
  return found;
}

/** Runs `body` with a hub of its own over a scene. */
function with_hub(name, scene, body) {
  test(name, async () => {
    const made = scene();
    const hub = await start_fake_hub(made.world, options.page);
    try {
      await body({ ...made, hub });
    } finally {
      for (const context of browser.contexts()) await context.close();
      await hub.close();
    }
  });
}

with_hub("a transfer appears, fills and completes", scenes.small, async ({ world, hub, hash }) => {
  const page = await open(hub.url, { expected: [/willReadFrequently/] }); // that is this test, which looks at the pixels
  await live(page);
  assert.equal(await tile(page, "Nodes").textContent(), "1");
  assert.equal(await tile(page, "Transfers").textContent(), "0");
  await page.getByText("Nobody sends now").waitFor();

  const taker = world.add_node({ address: "192.0.2.2:6881" });
  world.join(hash, taker);
  hub.run(2);
  await until("the transfer is counted", async () => (await tile(page, "Transfers").textContent()) === "1");
  await page.locator(".flow path.arrow").first().waitFor({ state: "attached" });
  await page.locator("#flow tbody", { hasText: "192.0.2.1:6881" }).waitFor();
  const row = page.locator("#pieces tbody tr", { hasText: "192.0.2.2:6881" });
  const seen = [];
  const painted = [];
  await until("it completes", async () => {
    const text = await row.locator(".of-have").textContent();
    if (seen.at(-1) !== text) {
      seen.push(text);
      // How much of the strip is not the colour of an empty one.
      painted.push(await row.locator("canvas").evaluate((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, 1);
        const empty = getComputedStyle(document.documentElement).getPropertyValue("--track").trim();
        let filled = 0;
        for (let i = 0; i < data.length; i += 4) filled += `#${[...data.slice(i, i + 3)].map((v) => v.toString(16).padStart(2, "0")).join("")}` !== empty ? 1 : 0;
        return filled / canvas.width;
      }));
    }
    return text === "100 %";
  }, 30_000);
  assert.ok(seen.length >= 3, `steps seen: ${seen}`);
  assert.deepEqual([...seen].sort((a, b) => Number.parseInt(a.replace("< ", "")) - Number.parseInt(b.replace("< ", ""))), seen, "progress never goes back");
  assert.ok(painted[0] < 0.7 && painted.at(-1) > 0.99, `painted: ${painted}`);
  await page.locator("#log", { hasText: "192.0.2.2:6881 has all of holiday photos" }).waitFor();
  await until("nothing is left under way", async () => (await tile(page, "Transfers").textContent()) === "0");
  await page.locator("#torrents tbody tr", { hasText: "holiday photos" }).locator(".of-seeders", { hasText: "2" }).waitFor();
  world.drop_node(taker);
  await until("the node is gone", async () => (await tile(page, "Nodes").textContent()) === "1");
  await page.clean();
});

with_hub("charts grow with the history", scenes.team, async ({ world, hub }) => {
  world.step(0.5);
  scenes.past(world);
  const page = await open(hub.url);
  await live(page);
  await page.locator("#charts canvas").nth(1).waitFor();
  const before = await page.locator("#charts figcaption").first().textContent();
  world.step(4);
  hub.push(true);
  await until("the caption follows", async () => (await page.locator("#charts figcaption").first().textContent()) !== before);
  const ink = await page.locator("#charts canvas").first().evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let drawn = 0;
    for (let i = 3; i < data.length; i += 4) drawn += data[i] ? 1 : 0;
    return drawn / (canvas.width * canvas.height);
  });
  assert.ok(ink > 0.02, `something is drawn: ${ink}`);
  await page.clean();
});

with_hub("search finds by words, hash and owner", scenes.team, async ({ hub, hashes }) => {
  const page = await open(hub.url);
  await live(page);
  const rows = page.locator("#torrents tbody tr");
  const search = page.getByRole("searchbox");
  for (const [query, count] of [["BRUCKE", 1], ["flight raw", 1], ["raw flight", 1], [hashes[3], 1], ["10.20.0.11", 4], ["", 15], ["no such thing", 0]]) {
    await search.fill(query);
    await until(`${query}: ${count} rows`, async () => (await rows.count()) === count);
  }
  await page.getByText("Nothing is called “no such thing”.").waitFor();
  await page.clean();
});

with_hub("search asks the hub for what the stream does not carry", scenes.team, async ({ world, hub }) => {
  const { collections } = world;
  const all = world.collections();
  const [hidden] = Object.values(all.torrents).filter((one) => one.name.startsWith("Museum"));
  const stream = hub.stream.bind(hub);
  hub.stream = (...given) => {
    world.collections = () => {
      const some = collections.call(world);
      delete some.torrents[hidden.hash];
      return some;
    };
    stream(...given);
    world.collections = collections;
  };
  const page = await open(hub.url);
  await live(page);
  await page.getByRole("searchbox").fill("museum");
  await page.locator("#torrents tbody tr", { hasText: "Museum scans" }).waitFor();
  await page.clean();
});

with_hub("a chosen torrent is in the address and survives a reload", scenes.team, async ({ hub, hashes }) => {
  const page = await open(hub.url);
  await live(page);
  await page.locator("#torrents tbody tr", { hasText: "Museum scans" }).locator("td").first().click();
  await page.locator("#pieces h2", { hasText: "Museum scans, room 7" }).waitFor();
  assert.equal(new URL(page.url()).hash, `#${hashes[4]}`);
  await page.reload();
  await page.locator("#pieces h2", { hasText: "Museum scans, room 7" }).waitFor();
  assert.equal(await page.locator('#torrents a[aria-current="true"]').textContent(), "Museum scans, room 7");
  await page.locator("#pieces summary").click();
  await page.locator("#pieces .files li").first().waitFor();
  await page.getByRole("button", { name: "Follow the busiest" }).click();
  await page.getByRole("button", { name: "Following the busiest" }).waitFor();
  await page.clean();
});

with_hub("the theme is kept", scenes.small, async ({ hub }) => {
  const page = await open(hub.url, { colorScheme: "dark" });
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const theme = page.getByRole("button", { name: /^Theme/ });
  const dark = await ground();
  await theme.click();
  assert.equal(await theme.textContent(), "Theme: light");
  const light = await ground();
  assert.notEqual(dark, light);
  await page.reload();
  await theme.waitFor();
  assert.equal(await ground(), light);
  await theme.click();
  await theme.click();
  assert.equal(await theme.textContent(), "Theme: system");
  await page.emulateMedia({ colorScheme: "light" });
  await until("the system's wish is followed", async () => (await ground()) === light);
  await page.clean();
});

with_hub("a cut stream is resumed by its id", scenes.team, async ({ world, hub }) => {
  const page = await open(hub.url, { expected: [/ERR_/] });
  await live(page);
  hub.push();
  hub.push();
  await page.waitForTimeout(300);
  hub.cut();
  await live(page, "Connection lost");
  world.add_node({ address: "192.0.2.99:1" });
  hub.push(); // while the page is away
  await live(page);
  await page.locator("#nodes tbody", { hasText: "192.0.2.99:1" }).waitFor();
  const opened = hub.requests.filter(({ path }) => path === "/api/v1/events");
  assert.equal(opened[0].last_id, undefined);
  assert.equal(opened.at(-1).last_id, "1-2");
  assert.deepEqual(hub.openings, ["snapshot", 1]);
  await page.clean();
});

with_hub("a gap opens the stream anew without an id", scenes.team, async ({ world, hub }) => {
  const page = await open(hub.url);
  await live(page);
  hub.push();
  hub.lose_one();
  world.add_node({ address: "192.0.2.77:1" });
  hub.push();
  await page.locator("#nodes tbody", { hasText: "192.0.2.77:1" }).waitFor();
  const opened = hub.requests.filter(({ path }) => path === "/api/v1/events");
  assert.equal(opened.length, 2);
  assert.equal(opened[1].last_id, undefined);
  assert.deepEqual(hub.openings, ["snapshot", "snapshot"]);
  await live(page);
  await page.clean();
});

with_hub("a restarted hub is found again, and its new state replaces the old", scenes.team, async ({ hub }) => {
  const page = await open(hub.url, { expected: [/ERR_/] });
  await live(page);
  hub.push();
  await page.waitForTimeout(200);
  await hub.stop();
  await live(page, "Connection lost");
  const banner = page.locator("div.lost");
  assert.match(await banner.textContent(), /Connection lost: .+ What you see is \d+ s old\./);
  await until("the age grows", async () => Number((await banner.textContent()).match(/is (\d+) s old/)?.[1]) >= 2);
  assert.match(await page.title(), /Connection lost/);
  const { world } = scenes.small();
  hub.server.removeAllListeners("error");
  hub.world = world;
  hub.boot = 2;
  hub.seq = 0;
  hub.recent = [];
  hub.remember(world.collections());
  await hub.listen(hub.port);
  await until("the new hub's state is shown", async () => (await tile(page, "Nodes").textContent()) === "1", 20_000);
  await live(page);
  await banner.waitFor({ state: "detached" });
  assert.equal(await page.locator("#torrents tbody tr").count(), 2);
  assert.equal(hub.openings.at(-1), "snapshot");
  hub.push();
  await page.clean();
});

for (const [name, viewport, colorScheme] of [["on a wall", wall, "dark"], ["on a phone", phone, "light"]]) {
  with_hub(`hostile names in every field show as text, ${name}`, scenes.hostility, async ({ world, hub, hashes }) => {
    world.step(0.5);
    hub.remember(world.collections());
    const page = await open(hub.url, { viewport, colorScheme });
    await live(page);
    hub.run(1);
    // Show everything that is hidden behind "show more".
    await until("all rows are shown", async () => {
      const more = page.locator("button.more");
      if ((await more.count()) === 0) return true;
      await more.first().click();
      return false;
    }, 30_000);
    const shows = async (area, least, marks = hostile) => {
      const text = await page.locator(area).textContent();
      const found = marks.filter(({ mark }) => text.includes(mark)).length;
      assert.ok(found >= least, `${area} shows ${found} of the texts`);
      assert.doesNotMatch(text, /[\u0000-\u0008\u000b-\u001f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\u200b]/, `${area} has an invisible character`);
    };
    for (const [area, least] of [["#nodes", 60], ["#torrents", 60], ["#log", 60], ["#flow table", 20]]) await shows(area, least);
    // What is markup arrived as text, letter by letter.
    const names = await page.locator("#torrents tbody th").allTextContents();
    for (const { text, mark } of hostile.slice(0, 38)) assert.equal(names.find((shown) => shown.startsWith(mark)), text);
    // Each torrent is looked at: its title, its owner and its peers are hostile too, and of some the files.
    for (const [i, hash] of hashes.entries()) {
      await page.evaluate((to) => void (location.hash = to), hash);
      await page.locator("#pieces h2", { hasText: hostile[i].mark }).waitFor();
      await page.locator("#pieces tbody tr").nth(1).waitFor();
      await shows("#pieces h2", 1, [hostile[i]]);
      await shows("#pieces table", 2, [hostile[i], hostile[(i + 1) % hostile.length]]);
      await page.locator("#pieces summary").click();
      await page.locator("#pieces dl").waitFor();
      await shows("#pieces dl", i === 0 ? 20 : 1, i === 0 ? hostile : [hostile[i]]);
      if (i % 20 !== 0) continue;
      await page.locator("#pieces .files li").nth(59).waitFor();
      await shows("#pieces .files", 60);
    }
    // The table of transfers has the twenty fastest: all texts take their turn in it.
    hub.run(0);
    const nodes = [...world.nodes.values()];
    for (let first = 0; first < hostile.length; first += 20) {
      const turn = nodes.slice(first, first + 20);
      world.transfers.clear();
      for (const [i, node] of turn.entries())
        world.transfers.set(`turn ${i}`, { torrent: hashes[first + i], from: node.id, to: node.id, from_address: node.address, to_address: node.address, rate: 1e6 - i, bytes: 1 });
      hub.push();
      const marks = hostile.slice(first, first + 20);
      await until(`texts from ${first} on are in the table`, async () => {
        const text = await page.locator("#flow table").textContent();
        return marks.every(({ mark }) => text.includes(mark));
      }, 20_000);
      await shows("#flow table", 20, marks);
    }
    // What the hub calls itself, and what a link to the page or a person says.
    const { status } = world;
    for (const { text, mark } of hostile) {
      world.status = () => ({ ...status.call(world), name: text, version: text });
      hub.push();
      await page.locator(".host", { hasText: new RegExp(`${mark}.*${mark}`, "s") }).waitFor();
      await shows(".host", 1);
    }
    await page.evaluate(() => void (location.hash = `"><img src=x onerror=alert(1)>`));
    await page.getByRole("searchbox").fill(`"><img src=x onerror=alert(1)>nothing`);
    await page.getByText("Nothing is called").waitFor();
    await page.getByRole("searchbox").fill("<script>");
    await page.getByRole("searchbox").fill("");
    const planted = await page.evaluate(() =>
      [...document.querySelectorAll("script, style, img, iframe, object, embed, base, form, video, math, template, animate, meta[http-equiv], link[rel=stylesheet]")]
        .map((element) => element.outerHTML).filter((html) => !/page\.(js|css)"/.test(html)));
    assert.deepEqual(planted, []);
    const handlers = await page.evaluate(() =>
      [...document.querySelectorAll("*")].flatMap((element) => [...element.attributes].map(({ name, value }) => `${name}=${value}`)).filter((text) => /^on|^(href|src|xlink:href)=(?!\.?\/?page\.|#[0-9a-f]{40}$|api\/v1\/torrents\/[0-9a-f]{40}\/metainfo$|data:image\/svg)/.test(text)));
    assert.deepEqual(handlers, []);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `nothing makes the page wider than the screen: ${wide} px`);
    await page.clean();
  });
}

for (const [name, viewport, colorScheme] of [["dark", wall, "dark"], ["light", wall, "light"], ["desk", { width: 1280, height: 800 }, "dark"], ["phone light", phone, "light"], ["phone dark", phone, "dark"]]) {
  with_hub(`axe finds nothing serious: ${name}`, scenes.team, async ({ world, hub }) => {
    world.step(0.5);
    scenes.past(world);
    const page = await open(hub.url, { viewport, colorScheme, reducedMotion: "reduce", expected: [/ERR_/] });
    await live(page);
    await page.locator("#pieces tbody tr").nth(2).waitFor();
    await page.locator("#pieces summary").click();
    assert.deepEqual(await findings(page), []);
    await hub.stop();
    await live(page, "Connection lost");
    assert.deepEqual(await findings(page), [], "with the connection lost");
    await hub.listen(hub.port);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} px wider than the screen`);
    const longer = await page.evaluate(() => document.documentElement.scrollHeight - Math.ceil(document.getElementById("page").getBoundingClientRect().height));
    assert.ok(longer <= 0, `nothing lies below the page: ${longer} px`);
    await page.clean();
  });
}

with_hub("everything is reached and worked by keyboard", scenes.team, async ({ world, hub, hashes }) => {
  world.step(0.5);
  hub.remember(world.collections());
  const page = await open(hub.url);
  await live(page);
  await page.locator("#pieces tbody tr").nth(2).waitFor();
  const reached = new Set();
  await page.evaluate(() => {
    let i = 0;
    for (const element of document.querySelectorAll("a[href], button:enabled, input, select, summary")) {
      if (element.checkVisibility()) element.dataset.stop = String(i++);
    }
  });
  const all = await page.evaluate(() => document.querySelectorAll("[data-stop]").length);
  const unseen = [];
  for (let i = 0; i < all + 30; ++i) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return { stop: element.dataset?.stop, ring: outlineStyle !== "none" && outlineWidth !== "0px", html: element.outerHTML.slice(0, 100), body: element === document.body };
    });
    if (at.stop !== undefined) reached.add(at.stop);
    if (!at.body && !at.ring) unseen.push(at.html);
  }
  const left = await page.evaluate((had) => [...document.querySelectorAll("[data-stop]")].filter((element) => !had.includes(element.dataset.stop)).map((element) => element.outerHTML.slice(0, 120)), [...reached]);
  assert.deepEqual(left, [], "not reached by Tab");
  assert.deepEqual(unseen, [], "the focus cannot be seen");

  // Choose a torrent, sort a table, search, change the theme: no mouse.
  await page.locator("#torrents a", { hasText: "telescope-night" }).focus();
  await page.keyboard.press("Enter");
  await page.locator("#pieces h2", { hasText: "telescope-night-0418" }).waitFor();
  assert.equal(new URL(page.url()).hash, `#${hashes[10]}`);
  const heading = page.locator("#torrents thead button", { hasText: "Size" });
  await heading.focus();
  await page.keyboard.press("Enter");
  await page.locator('#torrents th[aria-sort="descending"]', { hasText: "Size" }).waitFor();
  assert.match(await page.locator("#torrents tbody th").first().textContent(), /Lecture recordings/);
  await page.keyboard.press("Space");
  await page.locator('#torrents th[aria-sort="ascending"]', { hasText: "Size" }).waitFor();
  assert.match(await page.locator("#torrents tbody th").first().textContent(), /release-0/);
  await page.getByRole("button", { name: "Follow the busiest" }).focus();
  await page.keyboard.press("Enter");
  await until("the address is empty again", async () => new URL(page.url()).hash === "");
  // A panel that scrolls can be scrolled by keyboard.
  await page.locator("#nodes .body").focus();
  await page.keyboard.press("End");
  await until("the nodes scroll", () => page.locator("#nodes .body").evaluate((body) => body.scrollTop > 0));
  await page.clean();
});

with_hub("pictures are told in words", scenes.team, async ({ world, hub }) => {
  world.step(0.5);
  hub.remember(world.collections());
  const page = await open(hub.url);
  await live(page);
  await page.locator("#pieces tbody tr").nth(2).waitFor();
  assert.match(await page.getByRole("img").first().getAttribute("aria-label"), /^\d+ arrows between \d+ nodes\. Fastest: .+ to .+, [\d.]+ .B\/s/);
  assert.equal(await page.locator("canvas:not([aria-hidden] canvas, [aria-hidden])").count(), 0, "a canvas alone says nothing");
  for (const name of ["Torrents", "Nodes", "Transfers under way", "Peers of the torrent and the pieces they have"]) {
    await page.getByRole("table", { name, exact: true }).waitFor();
  }
  assert.match(await page.locator("#pieces tbody tr").nth(1).textContent(), /\d+ %/);
  assert.deepEqual(await page.locator("h1, h2, h3").evaluateAll((all) => all.map(({ tagName }) => tagName).slice(0, 2)), ["H1", "H2"]);
  assert.equal(await page.locator("[aria-live], [role=status], [role=alert], [role=log]").count(), 1, "one live region");
  await page.clean();
});

with_hub("a crowd: 500 nodes, 2 000 torrents, 5 000 peers stay smooth", scenes.crowd, async ({ world, hub }) => {
  const page = await open(hub.url);
  await live(page);
  await until("all are counted", async () => (await tile(page, "Torrents").textContent()).replace(/\D/g, "") === "2000");
  const rows = await page.locator("tbody tr").count();
  assert.ok(rows < 500, `${rows} rows are drawn`);
  await page.evaluate(() => {
    globalThis.slow = [];
    new PerformanceObserver((list) => globalThis.slow.push(...list.getEntries().map(({ duration }) => Math.round(duration)))).observe({ type: "longtask" });
  });
  for (let i = 0; i < 8; ++i) {
    for (const node of world.nodes.values()) node.up_rate = Math.floor(world.random() * 1e6);
    for (const torrent of [...world.torrents.values()].slice(0, 500)) torrent.seeders += 1;
    hub.push(i % 4 === 0);
    await page.waitForTimeout(500);
  }
  const slow = await page.evaluate(() => globalThis.slow);
  console.log(`#   long tasks in 4 s: ${slow.length ? slow.join(", ") : "none"} ms`);
  // The one in the middle: a machine that also builds makes single ones long.
  const middle = slow.sort((a, b) => a - b)[slow.length >> 1] ?? 0;
  assert.ok(middle < 400, `long tasks: ${slow} ms`);
  await show_all(page, "#torrents");
  const first = page.locator("#torrents tbody a").first();
  const name = await first.textContent();
  await first.focus();
  await page.locator("#torrents .body").evaluate((body) => (body.scrollTop = body.scrollHeight));
  await until("the last rows are drawn", async () => (await page.locator("#torrents tbody tr").last().getAttribute("aria-rowindex")) === "2001");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), name, "rows far away keep the focus");
  await page.getByRole("searchbox").fill("data set 1999");
  await until("one row is left", async () => (await page.locator("#torrents tbody tr").count()) === 1);
  await page.clean();
});

// Each peer reports once a second, so half of them are in each delta, with all that they send: as much as a hub ever tells.
//
// The bounds: a delta may cost a few frames (two come a second, so they are among the slowest 5 %), but between them the
// page is smooth. On two cores without a GPU under load 9 to 11, p95 was 17 to 33 ms and long tasks took at most 15 % of
// the time; with the page slowed down twofold besides, 67 ms and 33 %. With every row in the document p95 was 433 to 1533 ms
// and long tasks took 62 % at least. Single frames have no bound: a machine that also builds makes some long.
for (const [what, panels] of [["its pieces", ["#pieces"]], ["its pieces and all nodes", ["#pieces", "#nodes"]]]) {
  with_hub(`2 000 peers in one torrent stay fluid: ${what}`, scenes.swarm, async ({ world, hub, hash, move }) => {
    const page = await open(`${hub.url}#${hash}`);
    await live(page);
    for (const panel of panels) await show_all(page, panel);
    let deltas = 0;
    const timer = setInterval(() => {
      move(1000);
      hub.push(++deltas % 4 === 0);
    }, 500);
    try {
      const watched = await frames(page, () => page.waitForTimeout(5000));
      await page.locator(`${panels.at(-1)} .body`).hover();
      const scrolled = await frames(page, async () => {
        const end = Date.now() + 10_000;
        for (let i = 0; Date.now() < end; ++i) {
          await page.mouse.wheel(0, i % 100 < 60 ? 120 : -120); // a notch of the wheel
          await page.waitForTimeout(50);
        }
      });
      assert.ok(deltas >= 15, `only ${deltas} deltas were sent`);
      for (const { p95, held } of [watched, scrolled]) {
        assert.ok(p95 < 80, `p95: ${p95} ms`);
        assert.ok(held < 0.5, `held up ${(100 * held).toFixed(0)} % of the time`);
      }
    } finally {
      clearInterval(timer);
    }
    const speed = world.up_rate();
    hub.push();
    await until("the last delta is shown", async () => Math.abs(Number.parseFloat(await tile(page, "Throughput").textContent()) - speed / 1e9) < 0.006);
    await page.clean();
  });
}

for (const [where, viewport] of [["on a wall", wall], ["on a phone", phone]]) {
  with_hub(`who scrolls through 2 000 peers meets each of them, ${where}`, scenes.swarm, async ({ hub, hash }) => {
    const page = await open(`${hub.url}#${hash}`, { viewport });
    await live(page);
    await show_all(page, "#pieces");
    const met = new Map();
    let drawn = 0;
    assert.equal(await page.locator("#pieces table").getAttribute("aria-rowcount"), "2002");
    assert.deepEqual(await findings(page), []);
    await page.locator("#pieces h2").scrollIntoViewIfNeeded();
    await page.locator("#pieces .body").hover({ position: { x: 100, y: 100 } });
    await until("the last peer is met", async () => {
      const rows = await page.locator("#pieces tbody tr[aria-rowindex]").evaluateAll((all) => all.map((row) => [Number(row.ariaRowIndex), row.querySelector(".foreign").textContent]));
      drawn = Math.max(drawn, rows.length);
      for (const [place, address] of rows) met.set(place, address);
      await page.mouse.wheel(0, 900);
      return met.has(2002);
    }, 60_000);
    assert.equal(met.size, 2000);
    assert.equal(new Set(met.values()).size, 2000);
    assert.ok(drawn < 200, `${drawn} rows were drawn at once`);
    await page.clean();
  });
}

with_hub("an empty hub says how to begin", () => ({ world: new World(1) }), async ({ hub }) => {
  const page = await open(hub.url);
  await live(page);
  await page.getByText(/peer share FOLDER --tracker http:\/\/127\.0\.0\.1:\d+\/announce/).waitFor();
  assert.deepEqual(await findings(page), []);
  await page.clean();
});

with_hub("the address is asked for three files, and then only for the stream", scenes.small, async ({ hub }) => {
  const page = await open(hub.url);
  await live(page);
  hub.run(1);
  await page.waitForTimeout(1500);
  assert.deepEqual(hub.requests.map(({ path }) => path).sort(), ["/", "/api/v1/events", "/page.css", "/page.js"]);
  await page.clean();
});

/** A real hub: nothing is known of what it has. */
async function smoke(url) {
  test(`the page of ${new URL(url).host} is live and clean`, async () => {
    const page = await open(url);
    await live(page);
    const status = await page.evaluate(async () => (await fetch("api/v1/status")).json());
    await until("the nodes are counted", async () => (await tile(page, "Nodes").textContent()).replace(/\D/g, "") === String(status.nodes));
    await page.waitForTimeout(3000);
    await live(page);
    assert.deepEqual(await findings(page), []);
    await page.reload();
    await live(page);
    const [, policy] = await page.evaluate(async () => {
      const reply = await fetch(".");
      return [reply.status, reply.headers.get("Content-Security-Policy") ?? ""];
    });
    for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) assert.ok(policy.includes(part), `${part} in: ${policy}`);
    await page.clean();
  });
}

/** Somebody fetches what is called `name` there, and somebody shares it. */
function transfer(url, name) {
  test("a transfer over a real hub appears, fills and completes, and is found by its name", async () => {
    const listed = await (await fetch(new URL(`api/v1/torrents?name=${encodeURIComponent(name)}`, url))).json();
    const page = await open(`${url}#${listed.torrents[0].hash}`);
    await live(page);
    await page.locator("#pieces h2", { hasText: name }).waitFor();
    await until("it shows who sends to whom", async () => /127\.0\.0\.1:\d+/.test(await page.locator("#flow table").textContent()));
    const held = () => page.locator("#pieces tbody tr").allTextContents();
    await until("two peers have it all", async () => (await held()).filter((row) => row.includes("100")).length === 2, 60_000);
    await page.getByRole("searchbox").fill(name.slice(0, 4));
    await until("it is found", async () => (await page.locator("#torrents tbody th").allTextContents()).includes(name));
    await page.getByRole("searchbox").fill("no such name");
    await until("nothing else is", async () => (await page.locator("#torrents tbody th").count()) === 0);
    await page.clean();
  });
}

/** A name of an attacker that points to the hub's address (class K1). */
function rebinding(url) {
  test("a page of another name that points here reads nothing of the hub", async () => {
    const { port } = new URL(url);
    const fooled = await chromium.launch({
      executablePath: options.chromium,
      args: [...(root ? ["--no-sandbox"] : []), "--host-resolver-rules=MAP evil.test 127.0.0.1", "--disable-background-networking"],
    });
    try {
      const page = await fooled.newPage();
      const reply = await page.goto(`http://evil.test:${port}/`);
      assert.equal(reply.status(), 421);
      for (const path of ["status", "nodes", "torrents", "log", "events"]) {
        const status = await page.evaluate(async (to) => (await fetch(to)).status, `/api/v1/${path}`);
        assert.equal(status, 421, path);
      }
      const opened = await page.evaluate((to) => new Promise((done) => {
        const socket = new WebSocket(to);
        socket.onopen = () => done(true);
        socket.onerror = () => done(false);
      }), `ws://evil.test:${port}/session`);
      assert.equal(opened, false);
      // Nor by the address itself, which the browser knows to be another site.
      const read = await page.evaluate((to) => fetch(to).then((got) => got.text(), () => null), `http://127.0.0.1:${port}/api/v1/status`);
      assert.equal(read, null);
    } finally {
      await fooled.close();
    }
  });
}

if (options.hub) {
  tests.length = 0;
  rebinding(options.hub);
  await smoke(options.hub);
  if (options.fetched) transfer(options.hub, options.fetched);
}
let failed = 0;
let passed = 0;
for (const { name, body } of tests) {
  if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
  const begin = Date.now();
  try {
    await body();
    ++passed;
    console.log(`ok   ${name} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
  } catch (error) {
    ++failed;
    console.log(`FAIL ${name}\n${String(error?.stack ?? error).split("\n").slice(0, 14).map((line) => `     ${line}`).join("\n")}`);
  }
  for (const context of browser.contexts()) await context.close();
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
