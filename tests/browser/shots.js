// Screenshots of every page, for people to look at: light, dark, and as wide as a telephone.
// `node tests/browser/shots.js [part of a page's name …]`, into target/shots (SHOTS names another place).
// `node tests/browser/shots.js --readme` makes README's picture, notes/chapter-3.png.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { ROOT, start, pages, address, prepare } = require("./browser.js");

const LOOKS = [
    ["light", { width: 1280, height: 900 }, "light"],
    ["dark", { width: 1280, height: 900 }, "navy"],
    ["phone", { width: 390, height: 844 }, "light"],
];

/** Chapter 3 with a piece of its evidence: what happens to the bytes, and not why. */
async function readme() {
    const { context, close } = await start();
    try {
        const page = await context.newPage();
        await prepare(page, "light");
        await page.setViewportSize({ width: 1300, height: 1010 });
        await page.goto(address("03-the-dropped-write.html"));
        await page.locator("#exhibit-3-the-scales").evaluate((heading) => {
            heading.scrollIntoView();
            scrollBy(0, -70); // below the bar at the top
        });
        await page.mouse.move(0, 0);
        await page.evaluate(() => document.activeElement.blur());
        await page.screenshot({ path: path.join(ROOT, "notes/chapter-3.png"), animations: "disabled" });
    } finally {
        await close();
    }
}

(async () => {
    if (process.argv[2] === "--readme") return readme();
    const into = path.resolve(process.env.SHOTS || path.join(ROOT, "target/shots"));
    fs.mkdirSync(into, { recursive: true });
    const wanted = process.argv.slice(2);
    const names = pages().filter((name) => !wanted.length || wanted.some((part) => name.includes(part)));
    const { context, close } = await start();
    try {
        for (const [look, viewport, theme] of LOOKS) {
            const page = await context.newPage();
            await prepare(page, theme);
            await page.setViewportSize(viewport);
            for (const name of names) {
                if (name === "print.html" && !wanted.length) continue;
                await page.goto(address(name));
                const file = path.join(into, `${name.replace(/\.html$/, "").replaceAll("/", "-")}-${look}.png`);
                // The sidebar belongs to a window, not to a picture of the whole page.
                await page.screenshot({ path: file, fullPage: true, animations: "disabled" });
            }
            await page.close();
        }
    } finally {
        await close();
    }
    console.log(`${names.length} pages, ${LOOKS.length} looks each, in ${into}`);
})();
