// The model behind the simulator: where the bytes of one page are, tick by tick.
//
// Pure: `step` takes a state and returns a new one, and never looks at a clock. Bytes are kept as ranges of offsets
// in what the backend sends, so that the model can say which bytes are lost, not only how many. At every step
//
//     sent = delivered + kernel + proxy + disk + lost
//
// A model, not a measurement: a tick is one turn of the loop, and everything is made small enough to be seen.
// A classic script, because browsers refuse modules from file://; `require` finds it too.
"use strict";

if (typeof require === "function") require("./presets.js");

(function () {
    const KIB = 1024;

    /** What the proxy reads at a time, in bytes. */
    const BLOCK = 16 * KIB;

    /** One chunk as it travels: `5000\r\n`, 20,480 bytes, `\r\n`. BLOCK must not divide it, or holes would be tidy. */
    const CHUNK = { head: 6, data: 20 * KIB, tail: 2, wire: 6 + 20 * KIB + 2 };

    /** The end of a chunked body: `0\r\n\r\n`. */
    const LAST_CHUNK = 5;

    /** A client who has been served asks again after so many ticks. */
    const ASKS_AGAIN = 6;

    const POLICIES = ["one", "block", "drop", "buffer", "hold", "spill"];

    const DEFAULTS = Object.freeze({
        policy: "drop", // one of POLICIES
        backend: 24 * KIB, // bytes a tick that the backend can send
        client: 8 * KIB, // bytes a tick that the client reads
        kernel: 64 * KIB, // size of the kernel's send buffer
        memory: 96 * KIB, // upper watermark of "hold", and what "spill" keeps in memory
        disk: Infinity, // limit of the temporary file
        chunks: 48, // chunks in the page
        others: 6, // other clients, who want a small page each
    });

    /** The settings that a page can load (presets.js), in bytes. */
    const PRESETS = Object.freeze(Object.fromEntries(Object.entries(globalThis.BufferPresets).map(
        ([name, { policy, backend, client }]) => [name, { policy, backend: backend * KIB, client: client * KIB }],
    )));

    // Queues of ranges. A range is [first, after the last]; a queue is sorted, and neighbours are merged.

    const size = (queue) => queue.reduce((sum, [from, to]) => sum + to - from, 0);

    function push(queue, from, to) {
        if (to <= from) return;
        const last = queue[queue.length - 1];
        if (last && last[1] === from) last[1] = to;
        else queue.push([from, to]);
    }

    /** Moves up to `count` bytes from the front of one queue to the end of another; says how many it were. */
    function move(queue, into, count) {
        let left = count;
        while (left > 0 && queue.length > 0) {
            const [from, to] = queue[0];
            const part = Math.min(left, to - from);
            push(into, from, from + part);
            if (from + part === to) queue.shift();
            else queue[0] = [from + part, to];
            left -= part;
        }
        return count - left;
    }

    const copy = (queue) => queue.map(([from, to]) => [from, to]);

    /** A whole number from min up to max: what a slider says, or a test invents. */
    const whole = (value, min, max) => Math.max(min, Math.min(max, Math.round(Number(value) || 0)));

    function checked(config) {
        if (!POLICIES.includes(config.policy)) throw new RangeError(`no such policy: ${config.policy}`);
        return {
            policy: config.policy,
            backend: whole(config.backend, 0, 2 ** 30),
            client: whole(config.client, 0, 2 ** 30),
            kernel: whole(config.kernel, 1, 2 ** 30),
            memory: whole(config.memory, 1, 2 ** 30),
            disk: config.disk === Infinity ? Infinity : whole(config.disk, 0, 2 ** 40),
            chunks: whole(config.chunks, 1, 2 ** 20),
            others: whole(config.others, 0, 64),
        };
    }

    const pageSize = (config) => config.chunks * CHUNK.wire + LAST_CHUNK;

    /** The state before the first tick. `config`: a part of DEFAULTS; sizes in bytes, speeds in bytes a tick. */
    function create(config = {}) {
        const full = checked({ ...DEFAULTS, ...config });
        return {
            config: full,
            tick: 0,
            total: pageSize(full),
            sent: 0, // what the proxy has taken from the backend
            delivered: [],
            kernel: [],
            proxy: [], // memory of the proxy; under "one" and "block" the block in its hand
            disk: [],
            lost: [],
            refused: 0, // writes that the kernel did not take, or not whole
            blocked: false, // write waits
            paused: false, // the proxy does not read from the backend, on purpose
            turn: true, // the loop came round in this tick
            frozen: 0, // ticks since it last did
            still: 0, // ticks since a byte last moved
            peak: 0, // the most bytes that the proxy's memory ever held
            finished: false, // nothing is under way anymore, and the connection is closed
            others: Array.from({ length: full.others }, (_, i) => ({ asks: 1 + i, since: null })),
            served: 0,
        };
    }

    /** Another setting from now on; the bytes stay where they are. The length of the page cannot be changed anymore. */
    function configure(state, changes) {
        const { chunks, others } = state.config;
        return { ...state, config: checked({ ...state.config, ...changes, chunks, others }), paused: false, blocked: false };
    }

    /** One tick later: the client reads, the loop takes its turn, the other clients are served or are not. */
    function step(before) {
        const { config } = before;
        const state = {
            ...before,
            tick: before.tick + 1,
            delivered: copy(before.delivered),
            kernel: copy(before.kernel),
            proxy: copy(before.proxy),
            disk: copy(before.disk),
            lost: copy(before.lost),
            others: before.others.map((other) => ({ ...other })),
        };
        let moved = move(state.kernel, state.delivered, config.client);
        moved += loop(state);

        state.peak = Math.max(state.peak, size(state.proxy));
        state.finished = state.sent === state.total && !state.kernel.length && !state.proxy.length && !state.disk.length;
        if (state.finished) state.turn = true;
        state.frozen = state.turn ? 0 : before.frozen + 1;
        state.still = moved > 0 ? 0 : before.still + 1;
        serve(state);
        return state;
    }

    /** The proxy's part of a tick. Returns how many bytes moved. */
    function loop(state) {
        const { policy, backend, memory, disk } = state.config;
        const room = () => Math.max(0, state.config.kernel - size(state.kernel));
        const waits = () => state.proxy.length > 0 || state.disk.length > 0;
        const waits_in_write = policy === "one" || policy === "block";
        // A file that an earlier policy left behind is read back at once, so that it stays in front of what comes next.
        const inMemory = policy === "spill" ? memory : Number.MAX_SAFE_INTEGER;

        // What waits already goes first, or later bytes would overtake it.
        const stuck = state.proxy.length > 0;
        let moved = 0;
        for (;;) {
            let part = move(state.proxy, state.kernel, room());
            part += move(state.disk, state.proxy, Math.max(0, inMemory - size(state.proxy)));
            if (part === 0) break;
            moved += part;
        }

        // Under "block" the loop comes round between two writes; under "one" only after the whole page.
        state.turn = policy === "one" ? false : policy === "block" ? !(stuck && waits()) : true;

        if (policy === "hold" && state.paused && size(state.proxy) <= memory / 2) state.paused = false;
        if (policy !== "hold") state.paused = false;
        let budget = Math.min(backend, state.total - state.sent);
        while (budget > 0) {
            if (waits_in_write && waits()) break;
            if (policy === "hold" && (state.paused || size(state.proxy) >= memory)) {
                state.paused = true;
                break;
            }
            let block = Math.min(BLOCK, budget);
            if (policy === "hold") block = Math.min(block, memory - size(state.proxy));
            if (policy === "spill") {
                const spare = state.disk.length ? 0 : Math.max(0, memory - size(state.proxy));
                const space = spare + (waits() ? 0 : room()) + disk - size(state.disk);
                block = Math.min(block, space);
                if (block <= 0) {
                    state.paused = true;
                    break;
                }
            }
            const from = state.sent;
            const to = from + block;
            state.sent = to;
            budget -= block;
            moved += block;

            const taken = waits() ? 0 : Math.min(block, room());
            push(state.kernel, from, from + taken);
            if (taken === block) continue;
            state.refused += 1;
            let rest = from + taken;
            if (policy === "drop") {
                push(state.lost, rest, to); // let _ = write(…)
            } else if (policy === "spill") {
                const fits = state.disk.length ? 0 : Math.max(0, Math.min(to - rest, memory - size(state.proxy)));
                push(state.proxy, rest, rest + fits);
                push(state.disk, rest + fits, to);
            } else {
                push(state.proxy, rest, to);
            }
        }
        state.blocked = waits_in_write && state.proxy.length > 0;
        return moved;
    }

    /** The other clients: each asks, waits until the loop comes round, is served, and asks again. */
    function serve(state) {
        for (const other of state.others) {
            if (other.since === null && !state.finished && state.tick >= other.asks) other.since = state.tick;
            if (other.since !== null && state.turn) {
                other.since = null;
                other.asks = state.tick + ASKS_AGAIN;
                state.served += 1;
            }
        }
    }

    /** Nothing will change anymore: the page is over, or everybody waits for somebody who does nothing. */
    const settled = (state) => (state.finished && state.others.every((other) => other.since === null)) || state.still >= 12;

    /** Bytes in each place. */
    function ledger(state) {
        return {
            sent: state.sent,
            delivered: size(state.delivered),
            kernel: size(state.kernel),
            proxy: size(state.proxy),
            disk: size(state.disk),
            lost: size(state.lost),
        };
    }

    /** How many bytes of [from, to) are in the queue. */
    const within = (queue, from, to) =>
        queue.reduce((sum, range) => sum + Math.max(0, Math.min(range[1], to) - Math.max(range[0], from)), 0);

    /**
     * One word for each chunk: `ahead` (not sent), `under way`, `whole`, `damaged` (a part is lost), `missing`;
     * and whether the size line in front of it is lost, in part or altogether.
     */
    function chunks(state, limit = state.config.chunks) {
        const list = [];
        for (let i = 0; i < Math.min(limit, state.config.chunks); i += 1) {
            const from = i * CHUNK.wire;
            const to = from + CHUNK.wire;
            const lost = within(state.lost, from, to);
            const there = within(state.delivered, from, to);
            const word =
                lost === CHUNK.wire ? "missing"
                : lost > 0 ? "damaged"
                : there === CHUNK.wire ? "whole"
                : state.sent > from ? "under way"
                : "ahead";
            list.push({ word, lost, headless: within(state.lost, from, from + CHUNK.head) > 0 });
        }
        return list;
    }

    /**
     * What the client makes of what it got, by reading it as a client does: a size, so many bytes, `\r\n`, the next size.
     * It knows nothing of offsets, so a hole of exactly one chunk passes.
     *
     * kind: `reading`, `exact`, `broken` (curl: 56), `cut off` (curl: 18), `unnoticed` (curl: 0, and the page is wrong);
     * chunk: where it happened, counted from 0.
     */
    function decode(state) {
        const ranges = state.delivered;
        const have = size(ranges);
        const at = (position) => {
            let left = position;
            for (const [from, to] of ranges) {
                if (left < to - from) return from + left;
                left -= to - from;
            }
            return -1;
        };
        const end = state.config.chunks * CHUNK.wire;
        const short = (chunk) =>
            state.finished ? { kind: "cut off", exit: 18, chunk } : { kind: "reading", exit: null, chunk };
        let skipped = false;
        let position = 0;
        let chunk = 0;
        for (;;) {
            if (position >= have) return short(chunk);
            const start = at(position);
            if (start === end) {
                if (position + LAST_CHUNK > have) return short(chunk);
                if (chunk !== state.config.chunks) skipped = true;
                return skipped ? { kind: "unnoticed", exit: 0, chunk: null } : { kind: "exact", exit: 0, chunk: null };
            }
            const broken = { kind: "broken", exit: 56, chunk: Math.min(chunk, state.config.chunks - 1) };
            if (start % CHUNK.wire !== 0) return broken;
            if (start !== chunk * CHUNK.wire) skipped = true;
            chunk = start / CHUNK.wire;
            broken.chunk = chunk;
            if (position + CHUNK.head > have) return short(chunk);
            if (at(position + CHUNK.head - 1) !== start + CHUNK.head - 1) return broken;
            for (let i = 1; i <= CHUNK.tail; i += 1) {
                if (position + CHUNK.wire - i >= have) return short(chunk);
            }
            const last = at(position + CHUNK.wire - 1);
            if (last % CHUNK.wire !== CHUNK.wire - 1 || at(position + CHUNK.wire - 2) !== last - 1) return broken;
            if (last !== start + CHUNK.wire - 1) skipped = true;
            position += CHUNK.wire;
            chunk = Math.floor(last / CHUNK.wire) + 1;
        }
    }

    globalThis.BufferModel = Object.freeze({
        KIB, BLOCK, CHUNK, POLICIES, DEFAULTS, PRESETS,
        create, configure, step, settled, ledger, chunks, decode,
    });
    if (typeof module === "object" && module.exports) module.exports = globalThis.BufferModel;
})();
