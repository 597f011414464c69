// All runs as they are now, and what happens to them: one stream of events for the whole page.

import { data, isReport } from "./data.js";

/** id → RUN, in the order in which they came. */
export const runs = new Map();
/** What the page knows of its server: { base_dir, version, read_only, … }. */
export const info = { base_dir: "", version: "", read_only: true };
/** connection: "starting", "live", "lost", "gone" or "report". */
export const link = { state: "starting", why: "", loaded: false, complete: false };

const listeners = { runs: new Set(), rows: new Set(), console: new Set(), link: new Set() };
let version = "";
let source = null;
let sourceKey = null;
let watched = new Map();
let patience = 500;
let retry = 0;
let clockOffset = 0;

export function on(event, listener) {
	listeners[event].add(listener);
	return () => listeners[event].delete(listener);
}

function tell(event, value) {
	for (const listener of [...listeners[event]]) listener(value);
}

function setLink(next, why = "") {
	if (link.state === next && link.why === why) return;
	link.state = next;
	link.why = why;
	tell("link", link);
}

/** Seconds since the epoch by the server's clock. */
export function now() {
	return Date.now() / 1000 + clockOffset;
}

/** Tags are texts; of those like `team:vision` the table makes columns. */
function splitTags(run) {
	run.tagList = (Array.isArray(run.tags) ? run.tags : []).map(String);
	run.tags = Object.create(null);
	for (const tag of run.tagList) {
		const colon = tag.indexOf(":");
		if (colon > 0) run.tags[tag.slice(0, colon)] = tag.slice(colon + 1);
	}
}

function apply(answer) {
	const changed = new Set();
	if (answer.full) {
		const there = new Set(answer.runs.map((run) => run.id));
		for (const id of runs.keys()) {
			if (!there.has(id)) {
				runs.delete(id);
				changed.add(id);
			}
		}
	}
	for (const run of answer.runs) {
		splitTags(run);
		runs.set(run.id, run);
		changed.add(run.id);
	}
	for (const id of answer.removed || []) {
		runs.delete(id);
		changed.add(id);
	}
	version = answer.version ?? version;
	link.loaded = true;
	const before = link.complete;
	link.complete = answer.complete !== false;
	if (changed.size || answer.full || link.complete !== before) tell("runs", changed);
}

/** Reads everything once, then follows. */
export async function start() {
	const [about, first] = await Promise.all([data.info(), data.runs()]);
	Object.assign(info, about);
	if (about.now && !isReport) clockOffset = about.now - Date.now() / 1000;
	apply(first);
	if (isReport) {
		setLink("report");
		return;
	}
	document.addEventListener("visibilitychange", follow);
	addEventListener("pagehide", stop);
	addEventListener("pageshow", follow);
	follow();
}

function stop() {
	source?.close();
	source = null;
	sourceKey = null;
}

/** Opens the stream for the runs that are watched; a hidden page holds none. */
function follow() {
	clearTimeout(retry);
	if (isReport) return;
	if (document.hidden) {
		stop();
		return;
	}
	const ids = [...watched.keys()].sort();
	const key = JSON.stringify(ids);
	if (source && key === sourceKey) return;
	stop();
	const query = new URLSearchParams();
	for (const id of ids.slice(0, 64)) query.append("run", id);
	if (version !== "") query.set("version", version);
	source = new EventSource(`api/events?${query}`);
	sourceKey = key;
	const mine = source;
	mine.onopen = () => {
		patience = 500;
		if (link.state !== "gone") setLink("live");
	};
	mine.addEventListener("runs", (event) => apply(JSON.parse(event.data)));
	mine.addEventListener("rows", (event) => tell("rows", JSON.parse(event.data)));
	mine.addEventListener("console", (event) => tell("console", JSON.parse(event.data)));
	mine.addEventListener("gone", (event) => {
		const { id, why } = JSON.parse(event.data);
		if (id == null) setLink(why == null ? "live" : "gone", why ?? "");
		else if (runs.delete(id)) tell("runs", new Set([id]));
	});
	mine.onerror = () => {
		if (mine !== source) return;
		stop();
		if (link.state !== "gone") setLink("lost");
		retry = setTimeout(follow, patience);
		patience = Math.min(10000, patience * 2);
	};
}

let soon = 0;
function followSoon() {
	clearTimeout(soon);
	soon = setTimeout(follow, 120);
}

/** Asks for the rows and the console of runs, until the function given back is called. */
export function watch(ids) {
	for (const id of ids) watched.set(id, (watched.get(id) || 0) + 1);
	followSoon();
	return () => {
		for (const id of ids) {
			const left = watched.get(id) - 1;
			if (left > 0) watched.set(id, left);
			else watched.delete(id);
		}
		followSoon();
	};
}

/** Reads the list anew, after a change of the page's own. */
export async function refresh() {
	if (!isReport) apply(await data.runs(version));
}
