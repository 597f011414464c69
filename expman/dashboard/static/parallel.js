// Parallel coordinates: each run is a line through its parameters to the metric.

import { h, put, s } from "./dom.js";
import { cut, shown } from "./format.js";
import { axisFor } from "./scales.js";
import { setState, state } from "./state.js";

const HEIGHT = 280;
const TOP = 44;
const BOTTOM = 16;
const MOST_AXES = 12;

// Low values are drawn in the first color, high ones in the last.
const RAMP = [[59, 76, 192], [90, 150, 200], [130, 170, 120], [214, 150, 60], [190, 40, 40]];
function rampColor(share) {
	const place = Math.min(0.9999, Math.max(0, share)) * (RAMP.length - 1);
	const at = Math.floor(place);
	return `rgb(${RAMP[at].map((value, channel) => Math.round(value + (RAMP[at + 1][channel] - value) * (place - at))).join(",")})`;
}

/** Draws into `root`; gives a function that lights up one run. */
export function parallel(root, { ids, params, metric, goal, value, name }) {
	const names = new Map(params);
	const wanted = state.axes ? state.axes.filter((one) => names.has(one)) : params.map(([one]) => one).slice(0, 6);
	const axes = [...wanted.map((one) => ({ name: one, get: (id) => names.get(one).get(id) })), { name: `${metric} (${goal})`, get: value }]
		.map((axis) => ({ ...axis, scale: axisFor(ids.map(axis.get)), range: null }));
	const place = h("div.parallel");
	const tip = h("div.tip", { hidden: true });
	const boxes = h("details.axischoice", null, h("summary", null, "axes"), h("div.checks", null, params.slice(0, 60).map(([one]) => h("label.check", null, h("input", {
		type: "checkbox", checked: wanted.includes(one),
		onchange: (event) => setState({ axes: event.target.checked ? [...wanted, one].slice(-MOST_AXES) : wanted.filter((other) => other !== one) }),
	}), h("bdi", null, cut(one, 50))))));
	root.append(h("section.panel", null, h("header", null, h("h2", null, "Parameters against the metric", h("span.soft", null, " drag along an axis to choose a range")), boxes), place));
	const paths = new Map();
	let lit = null;

	const passes = (id) => axes.every((axis) => {
		if (!axis.range) return true;
		const at = axis.scale.at(axis.get(id));
		return at !== null && at >= axis.range[0] && at <= axis.range[1];
	});
	const restyle = () => {
		for (const [id, path] of paths) {
			const on = passes(id);
			path.classList.toggle("out", !on || (lit !== null && lit !== id));
			path.classList.toggle("lit", lit === id);
			if (lit === id) path.parentNode.append(path);
		}
	};
	const light = (id) => {
		lit = id !== null && paths.has(id) ? id : null;
		restyle();
	};

	const draw = () => {
		if (!place.clientWidth) return;
		const width = Math.max(place.clientWidth, 140 + 100 * (axes.length - 1));
		const inner = HEIGHT - TOP - BOTTOM;
		const left = 60;
		const gap = axes.length > 1 ? (width - left - 80) / (axes.length - 1) : 0;
		const x = (at) => left + gap * at;
		const y = (share) => TOP + inner * (1 - share);
		const lines = s("g", null);
		paths.clear();
		const last = axes[axes.length - 1];
		for (const id of ids) {
			const points = axes.map((axis, at) => [x(at), axis.scale.at(axis.get(id))]).filter(([, share]) => share !== null);
			if (points.length < 2) continue;
			const d = points.map(([px, share], at) => {
				if (at === 0) return `M${px},${y(share)}`;
				const [bx, bshare] = points[at - 1];
				const middle = (bx + px) / 2;
				return `C${middle},${y(bshare)} ${middle},${y(share)} ${px},${y(share)}`;
			}).join("");
			const share = last.scale.at(last.get(id));
			const path = s("path.run", { d, stroke: share === null ? "currentColor" : rampColor(share), fill: "none" });
			path.addEventListener("pointerenter", (event) => {
				light(id);
				put(tip, h("div.tiphead", null, h("b", null, cut(name(id), 80))), axes.map((axis) => h("div.tiprow", null, h("span.tipname", null, cut(axis.name, 40)), h("span.tipvalue", null, shown(axis.get(id), 40)))));
				tip.hidden = false;
				const box = place.getBoundingClientRect();
				tip.style.transform = `translate(${Math.min(event.clientX - box.left + 12, width - 240)}px, ${Math.max(0, event.clientY - box.top - 40)}px)`;
			});
			path.addEventListener("pointerleave", () => {
				tip.hidden = true;
				light(null);
			});
			paths.set(id, path);
			lines.append(path);
		}
		const marks = axes.map((axis, at) => {
			const group = s("g.axis", { transform: `translate(${x(at)},0)` });
			group.append(s("line", { x1: 0, x2: 0, y1: TOP, y2: TOP + inner }));
			const anchor = at === axes.length - 1 ? "end" : at === 0 ? "start" : "middle";
			const title = s("text.axisname", { x: at === axes.length - 1 ? 76 : at === 0 ? -56 : 0, y: 16, "text-anchor": anchor }, cut(axis.name, Math.max(8, Math.floor(gap / 8))), axis.scale.log ? " (log)" : "");
			title.append(s("title", null, axis.name));
			group.append(title);
			for (const [share, text] of axis.scale.ticks) group.append(s("text.tick", { x: at === axes.length - 1 ? 8 : -8, y: y(share) + 4, "text-anchor": at === axes.length - 1 ? "start" : "end" }, text));
			const brush = s("rect.brush", { x: -7, width: 14, y: 0, height: 0 });
			const catcher = s("rect.catch", { x: -14, width: 28, y: TOP - 6, height: inner + 12 });
			const setBrush = () => {
				const [from, to] = axis.range ?? [0, 0];
				brush.setAttribute("y", axis.range ? y(to) : 0);
				brush.setAttribute("height", axis.range ? Math.max(2, y(from) - y(to)) : 0);
			};
			catcher.addEventListener("pointerdown", (event) => {
				const top = place.getBoundingClientRect().top;
				const share = (move) => Math.min(1.02, Math.max(-0.02, 1 - (move.clientY - top - TOP) / inner));
				const start = share(event);
				catcher.setPointerCapture(event.pointerId);
				axis.range = null;
				catcher.onpointermove = (move) => {
					const end = share(move);
					axis.range = Math.abs(end - start) > 0.01 ? [Math.min(start, end), Math.max(start, end)] : null;
					setBrush();
					restyle();
				};
				catcher.onpointerup = () => {
					catcher.onpointermove = null;
					setBrush();
					restyle();
				};
			});
			setBrush();
			group.append(brush, catcher);
			return group;
		});
		put(place, s("svg", { width, height: HEIGHT, role: "img", "aria-label": `parallel coordinates of ${ids.length} runs through ${axes.map((axis) => cut(axis.name, 40)).join(", ")}` }, lines, marks), tip);
		restyle();
	};
	new ResizeObserver(draw).observe(place);
	draw();
	return light;
}
