// Each parameter that differs against the metric: a point for each run.

import { h, put, s } from "./dom.js";
import { cut, number, shown, toNumber } from "./format.js";
import { axisFor } from "./scales.js";
import { idPath } from "./state.js";

const WIDTH = 260;
const HEIGHT = 170;
const MARGIN = { left: 46, right: 12, top: 8, bottom: 26 };
const MOST = 9;

/** How strongly two lists rise and fall together: Spearman's coefficient of rank correlation. */
export function rankCorrelation(one, other) {
	const ranks = (values) => {
		const order = values.map((value, at) => [value, at]).sort((a, b) => a[0] - b[0]);
		const found = new Array(values.length);
		for (let at = 0; at < order.length;) {
			let end = at;
			while (end < order.length && order[end][0] === order[at][0]) end += 1;
			for (let place = at; place < end; place += 1) found[order[place][1]] = (at + end - 1) / 2;
			at = end;
		}
		return found;
	};
	const [a, b] = [ranks(one), ranks(other)];
	const middle = (a.length - 1) / 2;
	let both = 0;
	let left = 0;
	let right = 0;
	a.forEach((value, at) => {
		both += (value - middle) * (b[at] - middle);
		left += (value - middle) ** 2;
		right += (b[at] - middle) ** 2;
	});
	return left && right ? both / Math.sqrt(left * right) : 0;
}

/** Draws into `root`; gives a function that lights up one run. */
export function scatters(root, { ids, params, metric, goal, value, style, name }) {
	const marks = new Map();
	const there = ids.filter((id) => Number.isFinite(value(id) ?? NaN));
	const plots = params.map(([param, values]) => {
		const known = there.filter((id) => values.get(id) !== undefined);
		const numbers = known.map((id) => toNumber(values.get(id)));
		const numeric = numbers.every((one) => one !== null && Number.isFinite(one));
		return { param, values, known, strength: numeric && known.length > 2 ? rankCorrelation(numbers, known.map(value)) : null };
	}).filter(({ known }) => known.length > 1)
		.sort((one, other) => Math.abs(other.strength ?? 0) - Math.abs(one.strength ?? 0)).slice(0, MOST);
	if (!plots.length) return () => {};
	const tip = h("div.tip", { hidden: true });
	const grid = h("div.scatters");
	root.append(h("section.panel", null, h("h2", null, "Each parameter", h("span.soft", null, ` against ${cut(metric, 60)} (${goal}); ρ is the rank correlation`)), grid));
	for (const { param, values, known, strength } of plots) {
		const x = axisFor(known.map((id) => values.get(id)));
		const y = axisFor(known.map(value));
		const width = WIDTH - MARGIN.left - MARGIN.right;
		const height = HEIGHT - MARGIN.top - MARGIN.bottom;
		const px = (share) => MARGIN.left + 8 + share * (width - 16);
		const py = (share) => MARGIN.top + 6 + (1 - share) * (height - 12);
		const dots = known.map((id) => {
			const [at, up] = [x.at(values.get(id)), y.at(value(id))];
			if (at === null || up === null) return null;
			const dot = s("circle.dot", { cx: px(at), cy: py(up), r: 4.5, fill: style(id).color });
			dot.addEventListener("click", () => { location.hash = `#/run/${idPath(id)}`; });
			dot.addEventListener("pointerenter", () => {
				light(id);
				put(tip, h("div.tiphead", null, h("b", null, cut(name(id), 80))), h("div.tiprow", null, h("span.tipname", null, cut(param, 40)), h("span.tipvalue", null, shown(values.get(id), 40))),
					h("div.tiprow", null, h("span.tipname", null, cut(metric, 40)), h("span.tipvalue", null, number(value(id), 6))));
				box.append(tip);
				tip.hidden = false;
				tip.style.transform = `translate(${Math.min(px(at) + 10, WIDTH - 150)}px, ${py(up) + 34}px)`;
			});
			dot.addEventListener("pointerleave", () => {
				tip.hidden = true;
				light(null);
			});
			if (!marks.has(id)) marks.set(id, []);
			marks.get(id).push(dot);
			return dot;
		});
		const ticks = [
			...x.ticks.map(([share, text]) => s("text.tick", { x: px(share), y: HEIGHT - 8, "text-anchor": "middle" }, cut(text, 10))),
			...y.ticks.filter((_, at, all) => all.length <= 3 || at % 2 === 0).map(([share, text]) => s("text.tick", { x: MARGIN.left - 4, y: py(share) + 4, "text-anchor": "end" }, text)),
		];
		const box = h("figure.scatter", null,
			h("figcaption", { title: cut(param, 300) }, h("bdi", null, cut(param, 40)), strength === null ? null : h("span.soft", null, ` ρ ${number(strength, 2)}`)),
			s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${cut(param, 60)} against ${cut(metric, 60)} for ${known.length} runs${strength === null ? "" : `, rank correlation ${number(strength, 2)}`}` },
				s("rect.frame", { x: MARGIN.left, y: MARGIN.top, width, height, rx: 4 }), ticks, dots));
		grid.append(box);
	}
	function light(id) {
		for (const [one, dots] of marks) for (const dot of dots) dot.classList.toggle("out", id !== null && marks.has(id) && one !== id);
	}
	return light;
}
