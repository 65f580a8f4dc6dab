// The model behind the simulator: where the bytes of one page are, tick by tick.
//
// Pure: `step` takes a state and returns a new one, and never looks at a clock. Bytes are kept as ranges of offsets
// in what the backend sends, so that the model can say which bytes are lost, not only how many. At every step
//
//     sent = delivered + kernel + proxy + disk + lost
//
// where "kernel" is up to four buffers: a send buffer and a receive buffer on each of the two connections.
// A model, not a measurement: a tick is one turn of the loop, and everything is made small enough to be seen.
// A classic script, because browsers refuse modules from file://; `require` finds it too.
"use strict";

if (typeof require === "function") require("./presets.js");

(function () {
    const KIB = 1024;

    /** What the proxy reads at a time, in bytes: the BLOCK of every step. The page is numbered in blocks of this size. */
    const BLOCK = 64 * KIB;

    /**
     * What the client reads at a time. One block and a part of one, because a kernel does not make room in whole blocks:
     * so there are writes that are taken, writes that are taken in part, and writes that are refused.
     */
    const GULP = BLOCK + 24_000;

    /** One chunk as it travels: `13fec\r\n`, 81,900 bytes, `\r\n`. BLOCK must not divide it, or holes would be tidy. */
    const CHUNK = { head: 7, data: 81_900, tail: 2, wire: 7 + 81_900 + 2 };

    /** The end of a chunked body: `0\r\n\r\n`. */
    const LAST_CHUNK = 5;

    /** A client who has been served asks again after so many ticks. */
    const ASKS_AGAIN = 6;

    /** "Just now", for the sentence: a loss so many ticks ago belongs to what is happening. */
    const RECENT = 6;

    const POLICIES = ["one", "block", "drop", "buffer", "hold", "spill"];

    /** The kernel's buffers, in the order in which a byte comes through them. The proxy is in the middle. */
    const QUEUES = ["backendSend", "proxyReceive", "proxySend", "clientReceive"];

    const DEFAULTS = Object.freeze({
        policy: "drop", // one of POLICIES
        buffers: 1, // how many of QUEUES there are: 1, only proxySend; 2, proxyReceive as well; 4, all of them
        backend: 64 * KIB, // bytes a tick that the backend can send: at most one block is read in a tick
        client: 20 * KIB, // bytes a tick that the client reads
        send: 4 * BLOCK, // size of a send buffer
        receive: 4 * BLOCK, // size of a receive buffer
        memory: 8 * BLOCK, // the high mark of "hold", and what "spill" keeps in memory
        low: null, // the low mark of "hold"; null: half of the high one
        disk: Infinity, // limit of the temporary file
        chunks: 24, // chunks in the page: 30 blocks
        others: 6, // other clients, who want a small page each
    });

    /** The settings that a page can load (presets.js), in bytes. */
    const PRESETS = Object.freeze(Object.fromEntries(Object.entries(globalThis.BufferPresets).map(([name, preset]) => {
        const { policy, buffers = DEFAULTS.buffers, others = DEFAULTS.others } = preset;
        const sizes = ["backend", "client", "send", "receive", "memory"].map((size) => [size, size in preset ? preset[size] * KIB : DEFAULTS[size]]);
        return [name, { policy, buffers, others, ...Object.fromEntries(sizes) }];
    })));

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
        const memory = whole(config.memory, 1, 2 ** 30);
        return {
            policy: config.policy,
            buffers: [1, 2, 4].includes(config.buffers) ? config.buffers : 1,
            backend: whole(config.backend, 0, 2 ** 30),
            client: whole(config.client, 0, 2 ** 30),
            send: whole(config.send, 1, 2 ** 30),
            receive: whole(config.receive, 1, 2 ** 30),
            memory,
            // A low mark above the high one would never let anything be read.
            low: config.low === null ? null : whole(config.low, 0, memory),
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
            sent: 0, // what the backend's write has handed over: to the kernel, or with one buffer to the proxy
            read: 0, // what the proxy has read
            delivered: [],
            backendSend: [],
            proxyReceive: [],
            proxySend: [],
            clientReceive: [],
            proxy: [], // memory of the proxy; under "one" and "block" the block in its hand
            disk: [],
            lost: [],
            calls: [], // what was done in this tick, in order: see `loop`
            ready: 0, // bytes that the backend could have sent by now and has not, up to a block
            thirst: 0, // bytes that the client could have read by now and has not
            refused: 0, // writes that the kernel did not take, or not whole
            lostTick: -Infinity, // when bytes were last lost
            blocked: false, // the proxy's write waits
            stalled: false, // the backend's write waits, because the kernel has no room for it
            paused: false, // the proxy does not read from the backend, on purpose
            pauses: 0, // how often "hold" stopped reading
            resumes: 0, // and how often it began again
            turn: true, // the loop came round in this tick
            frozen: 0, // ticks since it last did
            still: 0, // ticks since a byte last moved
            peak: 0, // the most bytes that the proxy's memory ever held
            finished: false, // nothing is under way anymore, and the connection is closed
            others: Array.from({ length: full.others }, (_, i) => ({ asks: 1 + i, since: null })),
            served: 0,
        };
    }

    /** Where the low mark is, in bytes. */
    const lowMark = ({ low, memory }) => low ?? memory / 2;

    /**
     * Another setting from now on; the bytes stay where they are. The length of the page cannot be changed anymore, nor
     * what there is on the way.
     */
    function configure(state, changes) {
        const { chunks, others, buffers } = state.config;
        const config = checked({ ...state.config, ...changes, chunks, others, buffers });
        // Whoever was paused for a reason that is gone is read again, and that counts.
        const wasHeld = state.config.policy === "hold" && state.paused;
        const paused = wasHeld && config.policy === "hold" && size(state.proxy) > lowMark(config);
        const resumes = state.resumes + (wasHeld && !paused);
        // And what was lost just now was lost under other settings.
        return { ...state, config, calls: [], paused, resumes, lostTick: -Infinity, blocked: false, stalled: false, still: 0 };
    }

    const capacity = (config, queue) => (queue.endsWith("Send") ? config.send : config.receive);
    const room = (state, queue) => Math.max(0, capacity(state.config, queue) - size(state[queue]));
    const isFull = (state, queue) => room(state, queue) === 0;

    /** One tick later: the client reads, the loop takes its turn, the other clients are served or are not. */
    function step(before) {
        const { config } = before;
        const state = {
            ...before,
            tick: before.tick + 1,
            calls: [],
            others: before.others.map((other) => ({ ...other })),
        };
        for (const place of [...QUEUES, "delivered", "proxy", "disk", "lost"]) state[place] = copy(before[place]);
        // From the client's end to the backend's, so that room goes up the line as bytes come down: one place in a tick.
        let moved = drink(state);
        const { buffers } = config;
        if (buffers === 4) moved += move(state.proxySend, state.clientReceive, room(state, "clientReceive"));
        moved += loop(state);
        if (buffers === 4) moved += move(state.backendSend, state.proxyReceive, room(state, "proxyReceive"));
        if (buffers > 1) moved += supply(state);

        state.peak = Math.max(state.peak, size(state.proxy));
        state.finished = state.sent === state.total && [...QUEUES, "proxy", "disk"].every((place) => !state[place].length);
        if (state.finished) state.turn = true;
        state.frozen = state.turn ? 0 : before.frozen + 1;
        state.still = moved > 0 ? 0 : before.still + 1;
        serve(state);
        return state;
    }

    /** The client's part of a tick: it reads a gulp as soon as its speed allows one. */
    function drink(state) {
        const { client } = state.config;
        const queue = state[lastQueue(state.config)];
        state.thirst = Math.min(state.thirst + client, GULP + client);
        let moved = 0;
        for (;;) {
            const gulp = Math.min(GULP, size(queue));
            if (gulp === 0 || state.thirst < gulp) return moved;
            state.thirst -= gulp;
            moved += move(queue, state.delivered, gulp);
        }
    }

    /** What the client reads from. */
    const lastQueue = ({ buffers }) => (buffers === 4 ? "clientReceive" : "proxySend");

    /** The backend's part of a tick, where there is a buffer before the proxy: it writes, and waits when that is full. */
    function supply(state) {
        const queue = state.config.buffers === 4 ? "backendSend" : "proxyReceive";
        state.ready = Math.min(state.ready + state.config.backend, BLOCK);
        const bytes = Math.min(state.ready, state.total - state.sent);
        const taken = Math.min(bytes, room(state, queue));
        push(state[queue], state.sent, state.sent + taken);
        state.sent += taken;
        state.ready -= taken;
        state.stalled = taken < bytes;
        return taken;
    }

    /**
     * The proxy's part of a tick: what waits is written, then one block is read and written. Returns how many bytes moved.
     *
     * calls: { call: "read", bytes }; { call: "write", bytes, taken, waits }; what became of the rest of a write,
     * { call: "lose" | "keep" | "spill", bytes }; and { call: "pause" | "resume" }.
     */
    function loop(state) {
        const { policy, buffers, backend, memory, disk } = state.config;
        const space = () => room(state, "proxySend");
        const waits = () => state.proxy.length > 0 || state.disk.length > 0;
        const waits_in_write = policy === "one" || policy === "block";
        // A file that an earlier policy left behind is read back at once, so that it stays in front of what comes next.
        const inMemory = policy === "spill" ? memory : Number.MAX_SAFE_INTEGER;

        // What waits already goes first, or later bytes would overtake it.
        const stuck = state.proxy.length > 0;
        const asked = size(state.proxy);
        let moved = 0;
        let taken = 0;
        for (;;) {
            const part = move(state.proxy, state.proxySend, space());
            const back = move(state.disk, state.proxy, Math.max(0, inMemory - size(state.proxy)));
            if (part + back === 0) break;
            taken += part;
            moved += part + back;
        }
        // A write that waits is one call, however many ticks it takes. The others are made only when there is room.
        if (waits_in_write && stuck) {
            const start = state.proxy.length ? state.proxy[0][0] : state.read;
            const bytes = asked <= BLOCK ? state.read - Math.floor((state.read - 1) / BLOCK) * BLOCK : asked;
            const done = state.proxy.length === 0;
            state.calls.push({ call: "write", bytes, taken: done ? bytes : bytes - (state.read - start), waits: !done });
        } else if (taken > 0) {
            state.calls.push({ call: "write", bytes: Math.max(asked, taken), taken, waits: false });
        }

        // Under "block" the loop comes round between two writes; under "one" only after the whole page.
        state.turn = policy === "one" ? false : policy === "block" ? !(stuck && waits()) : true;

        if (policy !== "hold") state.paused = false;
        pauseOrResume(state);

        // A whole block is read, or what there is when no more can come.
        let block = Math.min(BLOCK - (state.read % BLOCK), state.total - state.read);
        // With marks, no more than there is room for below the high one.
        if (policy === "hold") block = Math.min(block, memory - size(state.proxy));
        let there;
        if (buffers === 1) {
            there = state.ready = Math.min(state.ready + backend, BLOCK);
        } else {
            there = size(state.proxyReceive);
            if (isFull(state, "proxyReceive")) block = Math.min(block, there);
        }
        const mayRead = block > 0 && there >= block && !state.paused && !(waits_in_write && waits());
        if (mayRead && policy === "spill") {
            const spare = state.disk.length ? 0 : Math.max(0, memory - size(state.proxy));
            block = Math.min(block, spare + (waits() ? 0 : space()) + disk - size(state.disk));
            state.paused = block <= 0;
        }
        if (mayRead && block > 0) {
            const from = state.read;
            const to = from + block;
            state.read = to;
            if (buffers === 1) {
                state.sent = to;
                state.ready -= block;
            } else {
                move(state.proxyReceive, [], block);
            }
            moved += block;
            state.calls.push({ call: "read", bytes: block });

            const queued = waits();
            const taken = queued ? 0 : Math.min(block, space());
            push(state.proxySend, from, from + taken);
            if (!queued) state.calls.push({ call: "write", bytes: block, taken, waits: waits_in_write && taken < block });
            if (taken < block) {
                state.refused += 1;
                const rest = from + taken;
                const bytes = to - rest;
                if (policy === "drop") {
                    push(state.lost, rest, to); // let _ = write(…)
                    state.lostTick = state.tick;
                    state.calls.push({ call: "lose", bytes });
                } else if (policy === "spill") {
                    const fits = state.disk.length ? 0 : Math.max(0, Math.min(bytes, memory - size(state.proxy)));
                    push(state.proxy, rest, rest + fits);
                    push(state.disk, rest + fits, to);
                    state.calls.push({ call: fits < bytes ? "spill" : "keep", bytes });
                } else {
                    push(state.proxy, rest, to);
                    if (!waits_in_write) state.calls.push({ call: "keep", bytes });
                }
            }
        }
        pauseOrResume(state);
        state.blocked = waits_in_write && state.proxy.length > 0;
        return moved;
    }

    /** Stops reading when what waits has reached the high mark, and begins again when it is down to the low one. */
    function pauseOrResume(state) {
        const { policy, memory } = state.config;
        const waiting = size(state.proxy);
        if (policy !== "hold") return;
        if (!state.paused && waiting >= memory) {
            state.paused = true;
            state.pauses += 1;
            state.calls.push({ call: "pause" });
        } else if (state.paused && waiting <= lowMark(state.config)) {
            state.paused = false;
            state.resumes += 1;
            state.calls.push({ call: "resume" });
        }
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
    function settled(state) {
        if (state.finished) return state.others.every((other) => other.since === null);
        const { client, backend } = state.config;
        const clientWill = client > 0 && state[lastQueue(state.config)].length > 0;
        const proxyWill = backend > 0 && state.sent < state.total && !state.paused && !state.blocked && !state.stalled;
        return state.still >= 12 && !clientWill && !proxyWill;
    }

    /** The ranges of bytes in a place, which is the kernel, or what the state calls it. */
    const ranges = (state, place) => (place === "kernel" ? [...QUEUES].reverse().flatMap((queue) => state[queue]) : state[place]);

    /** Bytes in each place. */
    function ledger(state) {
        return {
            sent: state.sent,
            delivered: size(state.delivered),
            kernel: size(ranges(state, "kernel")),
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

    const number = (bytes) => bytes.toLocaleString("en-US");

    /**
     * What is happening and why, in a few sentences that are true of this state whatever is set. No byte counts while it
     * runs: a sentence that changed with every tick would be read out with every tick.
     */
    function sentence(state) {
        const { config, finished } = state;
        const { policy, buffers } = config;
        const now = ledger(state);
        const full = isFull(state, "proxySend");
        const buffer = buffers === 1 ? "The kernel’s buffer" : "The proxy’s send buffer";
        const waiting = state.others.filter((other) => other.since !== null).length;
        const others = waiting === 1 ? "another client waits" : "other clients wait";
        // Nobody who has not come to chapter 3 has heard that bytes can be lost.
        const early = policy === "one" || policy === "block";
        const balance = now.lost > 0 ? "What was lost stays lost." : early ? "" : "Nothing is lost.";
        const join = (...parts) => parts.filter(Boolean).join(" ");

        if (finished) {
            const verdict = decode(state);
            const lost = `${number(now.lost)} bytes are lost`;
            const peak = early || now.lost > 0 || state.peak === 0 ? "" : `The proxy’s memory held ${number(state.peak)} bytes at most.`;
            if (verdict.kind === "exact") return join("Every byte has arrived, in order.", balance, peak);
            if (verdict.kind === "broken") return `${lost}. curl notices at chunk ${verdict.chunk + 1}, framed in the strip: exit status 56.`;
            if (verdict.kind === "cut off") return `${lost}, the end of the page among them. curl notices: exit status 18.`;
            return `${lost}, and the chunks add up all the same. curl doesn’t notice: exit status 0.`;
        }
        if (state.sent === 0) return config.backend > 0 ? "Nothing has been sent yet." : "The backend sends nothing.";

        // What a proxy that doesn't read does to the end behind it.
        const behind = state.stalled
            ? isFull(state, "proxyReceive")
                ? "So its receive buffer is full, the window is zero, and the backend’s write waits."
                : "The backend’s write waits."
            : buffers > 1 && state.proxyReceive.length
                ? state.sent < state.total ? "What the backend sends waits in the kernel." : "The backend has sent everything, and the rest waits in the kernel."
                : "";
        const stall = state.stalled ? "The backend’s write waits." : "";
        if (state.blocked) {
            const all = buffers === 4 && state.stalled && QUEUES.every((queue) => isFull(state, queue));
            if (all) return join("All four buffers are full. The proxy’s write waits, and so does the backend’s.", balance);
            const who = buffers === 1 ? "write" : "its write";
            const cause = full ? `${buffer} is full, so ${who} waits until the client reads.` : `${buffers === 1 ? "write" : "The proxy’s write"} waits for room in the ${buffers === 1 ? "kernel’s" : "send"} buffer.`;
            const line = waiting === 0 ? "" : policy === "one" ? `One at a time: ${others} in line.` : `It waits inside the only loop, so ${others} too.`;
            return join(cause, behind, line, balance);
        }
        if (now.disk > 0) {
            return join("What doesn’t fit in the proxy’s memory waits in a file, behind what waits in memory.",
                policy === "spill" && state.paused && state.read < state.total ? (buffers === 1 ? "The file is full as well, so the backend waits." : "The file is full as well, so the proxy doesn’t read.") : "",
                stall, balance);
        }
        if (policy === "hold" && state.paused && state.read < state.total) {
            const pause = "The proxy has reached its high mark, and doesn’t read until it is down to the low one.";
            return join(pause, buffers === 1 ? "So the backend waits." : behind, balance);
        }
        if (now.proxy > 0) {
            const cause = full ? `${buffer} is full, so the rest waits in the proxy’s memory.` : "Bytes wait in the proxy’s memory.";
            const limit = state.read === state.total ? "" : policy === "buffer" ? "There is no limit to how much that can be." : policy === "hold" && now.proxy < config.memory ? "The proxy reads on until that reaches the high mark." : "";
            return join(cause, limit, state.sent === state.total ? "The backend has sent everything." : "", stall, balance);
        }
        if (policy === "drop" && now.lost > 0 && state.tick - state.lostTick < RECENT) {
            return join(`${buffer} keeps filling up. write doesn’t wait: it takes what fits, and the proxy drops the rest.`, stall);
        }
        if (state.sent === state.total) {
            const rest = config.client > 0 ? "The client is still reading." : "The client doesn’t read.";
            return join("The backend has sent everything.", rest, waiting > 0 && policy === "one" ? `Meanwhile ${others} in line.` : "", balance);
        }
        const sofar = policy === "drop" && now.lost === 0 ? "Nothing is lost yet." : balance;
        if (full) return join(`${buffer} is full.`, stall, sofar);
        if (buffers === 4 && isFull(state, "clientReceive")) {
            return join("The client’s receive buffer is full, so its window is zero. What the proxy writes waits in the send buffer.", stall, sofar);
        }
        return join(
            `There is room in ${buffer.replace("The", "the")}${state.stalled ? "" : ", so no write has to wait"}.`,
            stall,
            config.backend === 0 ? "But the backend sends nothing." : "",
            waiting > 0 && policy === "one" ? `Still, ${others} in line.` : "",
            sofar,
        );
    }

    /**
     * The last call of the proxy, as it would stand in a trace: { call, answer, rest, kind }. `rest` says what became of
     * the bytes that write did not take; kind is `ok`, `part`, `none` or `waits`.
     */
    function live(state) {
        const { policy } = state.config;
        const name = policy === "one" ? "write_all" : "write";
        const last = (...names) => state.calls.findLastIndex(({ call }) => names.includes(call));
        const switched = state.calls.at(-1)?.call;
        if (switched === "pause") return { call: "epoll_ctl(EPOLL_CTL_DEL, backend)", answer: "Ok(())", rest: "not read anymore", kind: "part" };
        if (switched === "resume") return { call: "epoll_ctl(EPOLL_CTL_ADD, backend)", answer: "Ok(())", rest: "read again", kind: "ok" };
        const [read, write, rest] = [last("read"), last("write"), last("lose", "keep", "spill")];
        const fate = { lose: "lost", keep: "kept in memory", spill: "kept in a file" };
        const after = rest < 0 ? "" : `${number(state.calls[rest].bytes)} ${fate[state.calls[rest].call]}`;
        if (write >= 0) {
            const { bytes, taken, waits } = state.calls[write];
            const call = `${name}(client, ${bytes})`;
            if (waits) return { call, answer: "waits…", rest: "", kind: "waits" };
            // What was read after this write did not belong to it.
            const own = write > read ? after : "";
            if (taken === 0) return { call, answer: "Err(EAGAIN)", rest: own, kind: "none" };
            const answer = policy === "one" ? "Ok(())" : `Ok(${taken})`;
            return { call, answer, rest: own, kind: taken < bytes ? "part" : "ok" };
        }
        const reading = `read(backend, ${BLOCK})`;
        if (read >= 0) return { call: reading, answer: `Ok(${state.calls[read].bytes})`, rest: after, kind: "ok" };
        if (state.finished) return { call: "close(client)", answer: "Ok(())", rest: "", kind: "ok" };
        const away = policy === "hold" && state.paused ? "the backend is out of the epoll set" : "";
        return { call: policy === "one" ? reading : "epoll_wait(…)", answer: "waits…", rest: away, kind: "waits" };
    }

    globalThis.BufferModel = Object.freeze({
        KIB, BLOCK, GULP, CHUNK, POLICIES, QUEUES, DEFAULTS, PRESETS,
        create, configure, step, settled, ranges, ledger, lowMark, capacity, isFull, lastQueue, chunks, decode, sentence, live,
    });
    if (typeof module === "object" && module.exports) module.exports = globalThis.BufferModel;
})();
