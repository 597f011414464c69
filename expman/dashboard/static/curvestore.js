// Keeps the curves that are shown, asks for them in few requests, and appends what is new.

import { AnswerError, data, isReport } from "./data.js";
import { on, runs } from "./live.js";
import { isSorted } from "./series.js";

const PAUSE_MS = 700; // between two requests for the new rows of a run
const NAMES_EACH = 24;
const LETTERS_EACH = 3000;
const KEPT = 3000;

const entries = new Map();
const wanted = new Map();
const followers = new Map();
const listeners = new Set();
let flushing = 0;

export function viewKey(view) {
	return JSON.stringify([view.x, view.from ?? null, view.to ?? null, view.points]);
}

/** Calls back with the entries that changed. */
export function onCurves(listener) {
	listeners.add(listener);
	return () => listeners.delete(listener);
}

function tell(changed) {
	for (const listener of [...listeners]) listener(changed);
}

/** The curves of a metric of a run: { state: "loading" | "ready" | "bad", curves, … }; asks for them if need be. */
export function curvesOf(id, metric, view) {
	const key = `${viewKey(view)}\u0000${id}\u0000${metric}`;
	let entry = entries.get(key);
	if (entry) {
		entries.delete(key); // the newest used is the last
		entries.set(key, entry);
		return entry;
	}
	entry = { key, id, metric, view, state: "loading", curves: [], cursor: "", rows: 0, decimated: false, error: "", changes: 0, attempts: runs.get(id)?.attempts };
	entries.set(key, entry);
	const group = `${viewKey(view)}\u0000${id}`;
	if (!wanted.has(group)) wanted.set(group, []);
	wanted.get(group).push(entry);
	flushing ||= setTimeout(flush, 10);
	return entry;
}

/** The same without asking. */
export function curvesIfThere(id, metric, view) {
	return entries.get(`${viewKey(view)}\u0000${id}\u0000${metric}`);
}

function flush() {
	flushing = 0;
	const groups = [...wanted.values()];
	wanted.clear();
	for (const group of groups) for (const part of inParts(group)) load(part);
	for (const key of entries.keys()) {
		if (entries.size <= KEPT) break;
		entries.delete(key);
	}
}

/** A request has an address, and an address has a length. */
function inParts(group) {
	const parts = [];
	let part = [];
	let letters = 0;
	for (const entry of group) {
		const length = encodeURIComponent(entry.metric).length;
		if (part.length && (part.length >= NAMES_EACH || letters + length > LETTERS_EACH)) {
			parts.push(part);
			part = [];
			letters = 0;
		}
		part.push(entry);
		letters += length;
	}
	if (part.length) parts.push(part);
	return parts;
}

async function load(part) {
	const [{ id, view }] = part;
	try {
		const answer = await data.curves(id, part.map((entry) => entry.metric), { ...view, by: "producer" });
		for (const entry of part) {
			entry.curves = answer.curves.filter((curve) => curve.metric === entry.metric);
			entry.cursor = answer.cursor;
			entry.rows = answer.rows;
			entry.decimated = answer.decimated;
			entry.state = "ready";
			entry.changes += 1;
		}
	} catch (error) {
		for (const entry of part) {
			entry.state = "bad";
			entry.error = error instanceof AnswerError ? error.message : "the server does not answer";
			// The next time that it is looked at, it is asked for again.
			if (entries.get(entry.key) === entry) entries.delete(entry.key);
		}
	}
	tell(part);
}

// ---- new rows

on("rows", ({ id, cursor }) => {
	if (!isReport) follow(id, cursor);
});
on("runs", (changed) => {
	// A run that is gone; or it went on, and rows of its earlier attempt gave way.
	for (const [key, { id, attempts }] of entries) {
		if (changed.has(id) && runs.get(id)?.attempts !== attempts) entries.delete(key);
	}
});

/** Asks for what came after; one request at a time for each run, and none more often than PAUSE_MS. */
async function follow(id, cursor) {
	const state = followers.get(id);
	if (state) {
		state.again = true;
		state.cursor = cursor;
		return;
	}
	const mine = { again: false, cursor };
	followers.set(id, mine);
	try {
		await appendNew(id, cursor);
	} finally {
		setTimeout(() => {
			followers.delete(id);
			if (mine.again) follow(id, mine.cursor);
		}, PAUSE_MS);
	}
}

// Only what a chart looks at is followed; the rest is read anew when it is looked at again.
let inUse = () => true;
export function setInUse(test) {
	inUse = test;
}

async function appendNew(id, cursor) {
	const groups = new Map();
	for (const [key, entry] of entries) {
		// The cursor's text is what it is for: equal texts have the same rows.
		if (entry.id !== id || entry.state !== "ready" || (cursor && entry.cursor === cursor)) continue;
		if (!inUse(entry)) {
			entries.delete(key);
			continue;
		}
		const group = `${viewKey(entry.view)}\u0000${entry.cursor}`;
		if (!groups.has(group)) groups.set(group, []);
		groups.get(group).push(entry);
	}
	await Promise.all([...groups.values()].flatMap(inParts).map(async (part) => {
		const [{ view, cursor: after }] = part;
		try {
			const names = part.map((entry) => entry.metric);
			const answer = await data.curves(id, names, { ...view, by: "producer", after });
			const changed = [];
			for (const entry of part) {
				if (answer.cursor) entry.cursor = answer.cursor;
				const more = answer.curves.filter((curve) => curve.metric === entry.metric);
				if (!more.length) continue;
				for (const curve of more) extend(entry, curve);
				entry.rows += more.reduce((sum, curve) => sum + curve.x.length, 0);
				entry.changes += 1;
				changed.push(entry);
			}
			if (changed.length) tell(changed);
		} catch {
			// The events say so when the server is gone; the rows are asked for with the next event.
		}
	}));
}

function extend(entry, more) {
	const known = entry.curves.find((curve) => curve.producer === more.producer);
	if (!known) {
		entry.curves.push(more);
		return;
	}
	known.x = joined(known.x, more.x);
	known.y = joined(known.y, more.y);
	if (known.attempt || more.attempt) {
		const before = known.attempt ?? new Float64Array(known.x.length - more.x.length).fill(1);
		const last = before.length ? before[before.length - 1] : 0;
		known.attempt = joined(before, more.attempt ?? new Float64Array(more.x.length).fill(last));
	}
	if (known.x.length > 3 * entry.view.points) Object.assign(known, thinned(known, entry.view.points));
}

function joined(one, other) {
	const whole = new Float64Array(one.length + other.length);
	whole.set(one);
	whole.set(other, one.length);
	return whole;
}

/** Where the buckets begin: of equal width in x, so that what was thinned before does not get thinner still. */
function buckets(x, many) {
	const starts = [0];
	const low = x[0];
	const width = (x[x.length - 1] - low) / many;
	if (width > 0 && isSorted(x)) {
		let bucket = 0;
		for (let at = 1; at < x.length; at += 1) {
			const mine = Math.min(many - 1, Math.floor((x[at] - low) / width));
			if (mine !== bucket) {
				starts.push(at);
				bucket = mine;
			}
		}
	} else {
		const size = Math.max(1, Math.ceil(x.length / many));
		for (let at = size; at < x.length; at += size) starts.push(at);
	}
	starts.push(x.length);
	return starts;
}

/** Keeps of each bucket the first, least, greatest and last point, and what is not finite. */
export function thinned({ x, y, attempt }, points) {
	const starts = buckets(x, Math.max(1, Math.floor(points / 4)));
	const keep = [];
	for (let bucket = 0; bucket + 1 < starts.length; bucket += 1) {
		const from = starts[bucket];
		const to = starts[bucket + 1];
		const chosen = new Set([from, to - 1]);
		let least = -1;
		let most = -1;
		for (let at = from; at < to; at += 1) {
			if (!Number.isFinite(y[at])) {
				if (chosen.size < 40) chosen.add(at);
				continue;
			}
			if (least < 0 || y[at] < y[least]) least = at;
			if (most < 0 || y[at] > y[most]) most = at;
		}
		if (least >= 0) chosen.add(least).add(most);
		keep.push(...[...chosen].sort((one, other) => one - other));
	}
	const pick = (values) => Float64Array.from(keep, (at) => values[at]);
	return { x: pick(x), y: pick(y), attempt: attempt ? pick(attempt) : null };
}
