// The runs as the table and the lists show them: columns, filter, order.

import { own } from "./dom.js";
import { ago, cut, duration, exact, isNumber, moment, number, shown, toNumber } from "./format.js";
import { now, on, runs } from "./live.js";
import { durationOf, isFact, lookUp, parseFilter } from "./query.js";
import { state } from "./state.js";

const FIELDS = new Map([
	["status", "Status"], ["run", "Run"], ["experiment", "Experiment"], ["started_at", "Started"],
	["duration", "Duration"], ["rows", "Rows"], ["attempts", "Attempts"], ["project", "Project"],
	["group", "Group"], ["host", "Host"], ["rank", "Rank"], ["commit", "Commit"], ["error", "Error"],
	["tags", "Tags"], ["description", "Description"], ["notes", "Notes"], ["finished_at", "Finished"], ["heartbeat_at", "Last sign"],
]);
const MAPS = new Map([["param", "params"], ["tag", "tags"], ["scalar", "scalars"], ["last", "last"], ["min", "min"], ["max", "max"]]);
const TIMES = new Set(["started_at", "finished_at", "heartbeat_at"]);
const MOST_COLUMNS = 5000;
const TEXTS = new Intl.Collator("en", { numeric: true }); // a localeCompare would make one each time
const SILENT_S = 90; // a writer renews its sign of life every 30 seconds at least

let catalog = null;
let differing = null;
let visible = null;
let visibleKey = "";
let lastFilter = { text: null, parsed: null };
on("runs", () => {
	catalog = null;
	differing = null;
	visible = null;
	lastFilter.text = null;
});

/** How a run stands: its status, or that it stands still or has gone silent. */
export function standing(run) {
	if (run.status === "RUNNING" && run.heartbeat_at != null && now() - run.heartbeat_at > SILENT_S) return "SILENT";
	if (run.status === "RUNNING" && run.stalled_since != null) return "STALLED";
	return run.status || "UNKNOWN";
}

export function columnLabel(id) {
	if (FIELDS.has(id)) return FIELDS.get(id);
	const [kind, name] = splitColumn(id);
	return kind === "last" || kind === "param" || kind === "tag" || kind === "scalar" ? name : `${name} ${kind}`;
}

/** What kind of thing a column shows, where its name does not say so. */
export function columnKind(id) {
	return /^(param|tag|scalar):/.exec(id)?.[1] ?? "";
}

export function splitColumn(id) {
	const colon = id.indexOf(":");
	return [id.slice(0, colon), id.slice(colon + 1)];
}

/** The value of a column, to sort and to compare by. */
export function columnValue(run, id) {
	if (id === "duration") return durationOf(run, now());
	if (id === "status") return standing(run);
	if (id === "tags") return run.tagList.length ? run.tagList.join(", ") : null;
	if (FIELDS.has(id)) return run[id];
	const [kind, name] = splitColumn(id);
	return own(run[MAPS.get(kind)], name);
}

/** The same as text. */
export function columnText(run, id) {
	const value = columnValue(run, id);
	if (value == null) return "";
	if (id === "duration") return duration(value);
	if (id === "rows") return number(value);
	if (id === "commit") return String(value).slice(0, 8);
	if (TIMES.has(id)) return now() - value < 86400 * 2 ? ago(value, now()) : moment(value);
	return shown(value);
}

export function columnTitle(run, id) {
	const value = columnValue(run, id);
	return TIMES.has(id) ? moment(value, true) : exact(value);
}

export function isNumeric(run, id) {
	return !TIMES.has(id) && isNumber(columnValue(run, id));
}

/** Every column that some run has: id → how many runs have it. */
export function columnCatalog() {
	if (catalog) return catalog;
	catalog = new Map([...FIELDS.keys()].map((id) => [id, 0]));
	for (const run of runs.values()) {
		for (const id of FIELDS.keys()) if (columnValue(run, id) != null) catalog.set(id, catalog.get(id) + 1);
		for (const [kind, key] of MAPS) {
			for (const name of Object.keys(run[key] || {})) {
				const id = `${kind}:${name}`;
				if (catalog.size < MOST_COLUMNS || catalog.has(id)) catalog.set(id, (catalog.get(id) || 0) + 1);
			}
		}
	}
	return catalog;
}

/** The parameters that are not the same in all runs, most widely used first. */
export function differingParams() {
	if (differing) return differing;
	const seen = new Map();
	for (const run of runs.values()) {
		for (const [name, value] of Object.entries(run.params || {})) {
			const text = typeof value === "object" ? JSON.stringify(value) : String(value);
			const known = seen.get(name);
			if (!known) seen.set(name, { first: text, differs: false, count: 1 });
			else {
				known.count += 1;
				known.differs ||= known.first !== text;
			}
		}
	}
	differing = [...seen].filter(([, { differs, count }]) => differs || count < runs.size)
		.sort((one, other) => Number(other[1].differs) - Number(one[1].differs) || other[1].count - one[1].count)
		.map(([name]) => name);
	return differing;
}

/** The columns that are shown: those that were chosen, or a few that say most. */
export function shownColumns() {
	if (state.cols) return state.cols;
	const catalogNow = columnCatalog();
	const experiments = new Set([...runs.values()].map((run) => run.experiment));
	const metrics = [...catalogNow].filter(([id]) => id.startsWith("last:") && !id.startsWith("last:system"))
		.sort((one, other) => other[1] - one[1]).slice(0, 4).map(([id]) => id);
	const has = (id) => catalogNow.get(id) > 0;
	return [
		...(experiments.size > 1 ? ["experiment"] : []), "started_at", "duration", "rows", ...metrics,
		...differingParams().slice(0, 4).map((name) => `param:${name}`),
		...(has("group") ? ["group"] : []), ...(has("tags") ? ["tags"] : []), ...(has("error") ? ["error"] : []),
	];
}

function compareValues(one, other) {
	const first = one == null ? null : toNumber(one);
	const second = other == null ? null : toNumber(other);
	if (first !== null && second !== null) {
		if (Number.isNaN(first) || Number.isNaN(second)) return Number(Number.isNaN(first)) - Number(Number.isNaN(second));
		return first - second;
	}
	if (first !== null) return -1;
	if (second !== null) return 1;
	return TEXTS.compare(String(one), String(other));
}

/** The runs that the filter keeps, in order; pinned ones first. */
export function visibleRuns() {
	const key = JSON.stringify([state.q, state.sort, state.pins, state.group]);
	if (visible && key === visibleKey) return visible;
	const { test } = filterNow();
	const at = now();
	const kept = [...runs.values()].filter((run) => test(run, at));
	const down = state.sort.startsWith("-");
	const column = down ? state.sort.slice(1) : state.sort;
	const pins = new Set(state.pins);
	// Everything that a comparison needs is looked up once for each run: there may be very many.
	const keys = kept.map((run) => {
		const value = columnValue(run, column);
		return { run, value, pin: pins.has(run.id), lost: value == null || value === "NaN", number: value == null ? null : toNumber(value) };
	});
	const way = down ? -1 : 1;
	keys.sort((one, other) => {
		if (one.pin !== other.pin) return Number(other.pin) - Number(one.pin);
		// What has no value, or NaN, comes last in either direction.
		if (one.lost !== other.lost) return Number(one.lost) - Number(other.lost);
		if (!one.lost) {
			const numbers = one.number !== null && other.number !== null && Number.isFinite(one.number - other.number);
			const order = numbers ? one.number - other.number : compareValues(one.value, other.value);
			if (order) return way * order;
		}
		return TEXTS.compare(one.run.id, other.run.id);
	});
	visible = keys.map(({ run }) => run);
	visibleKey = key;
	return visible;
}

/** What the filter box means now: { test, error }. */
export function filterNow() {
	if (lastFilter.text === state.q) return lastFilter.parsed;
	const parsed = parseFilter(state.q);
	const at = now();
	const unknown = parsed.names.find((name) => runs.size && !isFact(name) && ![...runs.values()].some((run) => lookUp(run, name, at) != null));
	if (unknown !== undefined) parsed.error = `no run has a value of ${cut(unknown, 60)}`;
	lastFilter = { text: state.q, parsed };
	return parsed;
}

/** The runs in groups by a column: [{ name, runs }]. */
export function grouped(list, column) {
	const groups = new Map();
	for (const run of list) {
		const value = columnValue(run, column);
		const name = value == null || value === "" ? "—" : cut(shown(value), 80);
		if (!groups.has(name)) groups.set(name, []);
		groups.get(name).push(run);
	}
	return [...groups].map(([name, members]) => ({ name, runs: members }));
}

/** The metrics of some runs that are numbers, by name. */
export function metricsOf(ids) {
	const names = new Set();
	for (const id of ids) {
		const run = runs.get(id);
		for (const [name, value] of Object.entries(run?.last || {})) if (isNumber(value)) names.add(name);
	}
	return [...names].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
}

/** What a run is called among others: with its experiment only if there are several. */
export function runName(id, ids) {
	const run = runs.get(id);
	const cutAt = id.indexOf("/");
	const name = run?.run ?? id.slice(cutAt + 1);
	const experiments = new Set(ids.map((one) => one.slice(0, one.indexOf("/"))));
	return experiments.size > 1 ? `${id.slice(0, cutAt)} / ${name}` : name;
}
