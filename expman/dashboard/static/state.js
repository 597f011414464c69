// What is looked at, kept in the address: a link shows the same.

// name in the address → [key, kind, default]
const FIELDS = [
	["q", "text", ""], ["sort", "text", "-started_at"], ["cols", "list", null], ["group", "text", ""],
	["pins", "list", []], ["sel", "slots", []], ["colors", "colors", null],
	["x", "text", "step"], ["smooth", "number", 0], ["logx", "flag", false], ["logy", "list", []],
	["by", "text", "each"], ["band", "text", ""], ["zoom", "range", null], ["find", "text", ""], ["closed", "list", []],
	["size", "text", "m"], ["full", "text", ""], ["outliers", "flag", false],
	["tab", "text", ""], ["tag", "text", ""], ["at", "text", ""],
	["metric", "text", ""], ["goal", "text", "min"], ["axes", "list", null],
];

const READ = {
	text: (text) => text,
	number: (text) => (Number.isFinite(Number(text)) ? Number(text) : 0),
	flag: (text) => text === "1",
	list: (text) => (text === "" ? [] : text.split("~").map(unescapePart)),
	slots: (text) => text.split("~").map((part) => (part === "" ? null : unescapePart(part))),
	colors: (text) => new Map(text.split("~").map((part) => part.split("!")).filter((pair) => pair.length === 2)
		.map(([id, slot]) => [unescapePart(id), Number(slot) || 0])),
	range: (text) => {
		const parts = text.split("~").map(Number);
		return parts.length === 2 && parts.every(Number.isFinite) && parts[0] < parts[1] ? parts : null;
	},
};
const WRITE = {
	text: String,
	number: String,
	flag: (value) => (value ? "1" : "0"),
	list: (value) => value.map(escapePart).join("~"),
	slots: (value) => value.map((one) => (one === null ? "" : escapePart(one))).join("~"),
	colors: (value) => [...value].map(([id, slot]) => `${escapePart(id)}!${slot}`).join("~"),
	range: (value) => value.join("~"),
};

function escapePart(text) {
	return text.replace(/[%~!]/g, encodeURIComponent).replaceAll("~", "%7E").replaceAll("!", "%21");
}

function unescapePart(text) {
	return text.replace(/%(25|7E|21)/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));
}

/** Reads an address's part after the #. */
export function readHash(hash) {
	// A name that was typed may have a "?" or a "%" that is not quoted.
	const [, path, query] = /^#?(.*?)(?:\?(\w+=.*))?$/.exec(hash);
	const parts = path.split("/").filter(Boolean);
	const state = { view: ["runs", "curves", "compare", "run"].includes(parts[0]) ? parts[0] : "runs", run: "" };
	if (state.view === "run") {
		state.run = `${unquoted(parts[1])}/${unquoted(parts[2])}`;
	}
	const given = new URLSearchParams(query || "");
	for (const [key, kind, fallback] of FIELDS) {
		state[key] = given.has(key) ? READ[kind](given.get(key)) : fallback;
	}
	return state;
}

function unquoted(text = "") {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}

/** Writes the same, without what has its default. */
export function writeHash(state) {
	const query = new URLSearchParams();
	for (const [key, kind, fallback] of FIELDS) {
		const value = state[key];
		if (value == null || WRITE[kind](value) === (fallback == null ? null : WRITE[kind](fallback))) continue;
		if (kind === "colors" && value.size === 0) continue;
		query.set(key, WRITE[kind](value));
	}
	const path = state.view === "run" ? `/run/${idPath(state.run)}` : `/${state.view}`;
	const text = query.toString().replaceAll("%2F", "/").replaceAll("%7E", "~").replaceAll("%3A", ":");
	return `#${path}${text ? `?${text}` : ""}`;
}

/** A run's id as two parts of a path. */
export function idPath(id) {
	const cutAt = id.indexOf("/");
	return `${encodeURIComponent(id.slice(0, cutAt))}/${encodeURIComponent(id.slice(cutAt + 1))}`;
}

/** The current state, and who wants to know of its changes. */
export const state = readHash(location.hash);
const listeners = new Set();

/** Changes the state; `push` makes it a step for the browser's Back. */
export function setState(patch, { push = false } = {}) {
	Object.assign(state, patch);
	const hash = writeHash(state);
	if (hash !== location.hash) {
		if (push) history.pushState(null, "", hash);
		else replaceSoon(hash);
	}
	tell(patch);
}

// Browsers refuse more than a few hundred changes of the address in half a minute.
let waiting = 0;
let wantedHash = "";
function replaceSoon(hash) {
	wantedHash = hash;
	waiting ||= setTimeout(() => {
		waiting = 0;
		if (wantedHash) history.replaceState(null, "", wantedHash);
	}, 150);
}

function tell(patch) {
	for (const listener of [...listeners]) listener(patch);
}

export function onState(listener) {
	listeners.add(listener);
	return () => listeners.delete(listener);
}

function reread() {
	wantedHash = "";
	const next = readHash(location.hash);
	const patch = {};
	for (const key of Object.keys(next)) {
		if (JSON.stringify(next[key]) !== JSON.stringify(state[key])) patch[key] = next[key];
	}
	Object.assign(state, next);
	tell(patch);
}
addEventListener("popstate", reread);
addEventListener("hashchange", reread);

/** The runs that are chosen, in the order of their places. */
export function chosen() {
	return state.sel.filter((id) => id !== null);
}

export function isChosen(id) {
	return state.sel.includes(id);
}

/** Chooses runs, or no longer; each keeps its place, and so its color. */
export function choose(ids, on) {
	const places = [...state.sel];
	for (const id of ids) {
		const at = places.indexOf(id);
		if (on && at < 0) {
			const free = places.indexOf(null);
			if (free >= 0) places[free] = id;
			else places.push(id);
		} else if (!on && at >= 0) places[at] = null;
	}
	while (places.length && places[places.length - 1] === null) places.pop();
	setState({ sel: places });
}

/** The place whose color a run has. */
export function slotOf(id, fallback = 0) {
	const own = state.colors?.get(id);
	if (own !== undefined) return own;
	const at = state.sel.indexOf(id);
	return at >= 0 ? at : fallback;
}

export function setSlot(id, slot) {
	const colors = new Map(state.colors || []);
	colors.set(id, slot);
	setState({ colors });
}
