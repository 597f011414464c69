// Where values of any kind lie on an axis: numbers evenly or by their logarithm, texts side by side.

import { cut, number, shown, toNumber } from "./format.js";

/** An axis for values: { at(value) within 0 and 1 or null, ticks: [[place, text]], log }. */
export function axisFor(values) {
	const there = values.filter((value) => value != null);
	const numbers = there.map((value) => (typeof value === "boolean" ? null : toNumber(value)));
	if (there.length && numbers.every((value) => value !== null)) return numeric(numbers.filter(Number.isFinite));
	const names = [...new Set(there.map((value) => shown(value, 60)))].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
	const places = new Map(names.map((name, at) => [name, names.length === 1 ? 0.5 : at / (names.length - 1)]));
	const every = Math.ceil(names.length / 12);
	return {
		at: (value) => (value == null ? null : places.get(shown(value, 60)) ?? null),
		ticks: names.map((name, at) => [places.get(name), cut(name, 18), at]).filter(([, , at]) => at % every === 0).map(([place, text]) => [place, text]),
		log: false,
	};
}

function numeric(values) {
	let low = Math.min(...values);
	let high = Math.max(...values);
	if (!values.length) return { at: () => null, ticks: [], log: false };
	const whole = values.every(Number.isInteger);
	const log = low > 0 && high / low > (whole ? 50 : 9);
	if (low === high) {
		low -= Math.abs(low) * 0.1 || 1;
		high += Math.abs(high) * 0.1 || 1;
	}
	const span = log ? Math.log(high / low) : high - low;
	const at = (value) => {
		const one = toNumber(value);
		if (one === null || !Number.isFinite(one) || (log && one <= 0)) return null;
		return (log ? Math.log(one / low) : one - low) / span;
	};
	const distinct = [...new Set(values)].sort((one, other) => one - other);
	const chosen = distinct.length <= 6 ? distinct : [0, 0.25, 0.5, 0.75, 1].map((share) => (log ? low * Math.exp(share * span) : whole ? Math.round(low + share * span) : low + share * span));
	const ticks = [];
	for (const value of chosen) {
		const place = at(value);
		if (!ticks.length || place - ticks[ticks.length - 1][0] > 0.06) ticks.push([place, number(value, 3)]);
	}
	return { at, ticks, log };
}
