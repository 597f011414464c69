// Runs in groups, such as those that differ in their seeds alone: one curve for each group.

import { cut, shown, toNumber } from "./format.js";
import { runs } from "./live.js";
import { columnLabel, columnValue } from "./model.js";

const COLUMNS = ["experiment", "group", "project", "host"];
const ALL = "*";

function valueOf(id, column) {
	const value = column === ALL ? "all runs" : columnValue(runs.get(id), column);
	return value == null || value === "" ? "—" : shown(value, 60);
}

/** What runs can be put into groups by: [[column, label]]; each makes fewer groups than there are runs. */
export function bandChoices(ids, chosen) {
	const columns = new Set(COLUMNS);
	for (const id of ids) for (const name of Object.keys(runs.get(id)?.params ?? {})) columns.add(`param:${name}`);
	for (const id of ids) for (const name of Object.keys(runs.get(id)?.tags ?? {})) columns.add(`tag:${name}`);
	const many = (column) => new Set(ids.map((id) => valueOf(id, column))).size;
	const useful = [...columns].slice(0, 500).filter((column) => column === chosen || (many(column) > 1 && many(column) < ids.length));
	return [["", "no bands"], [ALL, "one band of all"], ...useful.slice(0, 100).map((column) => [column, `a band per ${cut(columnLabel(column), 40)}`])];
}

/** The groups by a column: Map id of a run → { key, name, at, members }; null without a column. */
export function bandsOf(ids, column) {
	if (!column || ids.length < 2) return null;
	const groups = new Map();
	for (const id of ids) {
		const value = valueOf(id, column);
		if (!groups.has(value)) groups.set(value, { key: `group ${value}`, name: column === ALL ? value : `${columnLabel(column)} ${value}`, first: columnValue(runs.get(id), column), members: [] });
		groups.get(value).members.push(id);
	}
	const inOrder = [...groups].sort(([one, { first }], [other, { first: second }]) => toNumber(first) - toNumber(second) || one.localeCompare(other, "en", { numeric: true })).map(([, group], at) => ({ ...group, at }));
	return new Map(inOrder.flatMap((group) => group.members.map((id) => [id, group])));
}
