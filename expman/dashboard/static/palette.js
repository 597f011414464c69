// Colors of curves. Eight colors, chosen so that the least distance between two of them is
// large for normal sight and for protanopia, deuteranopia and tritanopia, each with a contrast
// of at least 3:1 with its background; four dashes make them 32.

const LIGHT = ["#0d8bd0", "#b6230d", "#007660", "#8135a5", "#948800", "#f05bac", "#252b71", "#611813"];
const DARK = ["#72beff", "#e8564a", "#a2ffd7", "#ac7efc", "#edde3d", "#f18da7", "#3a86c4", "#ab6485"];
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

export const SLOTS = LIGHT.length * DASHES.length;

/** The color and the dash of a place in the selection. */
export function lineStyle(slot, dark) {
	const place = ((slot % SLOTS) + SLOTS) % SLOTS;
	return {
		color: (dark ? DARK : LIGHT)[place % LIGHT.length],
		dash: DASHES[Math.floor(place / LIGHT.length)],
	};
}

export function isDark() {
	return document.documentElement.dataset.theme === "dark";
}

/** A color with less strength, for raw curves behind smooth ones. */
export function faded(color, alpha) {
	const part = (at) => Number.parseInt(color.slice(at, at + 2), 16);
	return `rgba(${part(1)},${part(3)},${part(5)},${alpha})`;
}

/** What axes and grids are drawn with, from the style sheet. */
export function inks() {
	const style = getComputedStyle(document.documentElement);
	const read = (name) => style.getPropertyValue(name).trim();
	return { ink: read("--ink"), soft: read("--ink2"), grid: read("--grid"), surface: read("--surface"), accent: read("--accent") };
}
