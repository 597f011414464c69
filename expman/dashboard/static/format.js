// Numbers, times and texts as people read them.

const WORDS = new Map([["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]]);

/** JSON has no NaN and no infinity: the server writes them as words. */
export function toNumber(value) {
	if (typeof value === "number") return value;
	if (typeof value === "boolean") return value ? 1 : 0;
	return WORDS.has(value) ? WORDS.get(value) : null;
}

export function isNumber(value) {
	return toNumber(value) !== null;
}

/** Five significant digits, without noise: 0.00012341, 12,345, 1.2e-9. */
export function number(value, digits = 5) {
	if (value == null) return "";
	if (Number.isNaN(value)) return "NaN";
	if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
	if (value === 0) return "0";
	const size = Math.abs(value);
	if (Number.isInteger(value) && size < 1e9) return grouped(String(value));
	let text;
	if (size >= 1e6 || size < 1e-4) {
		const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
		text = `${trimZeros(mantissa)}e${exponent.replace("+", "")}`;
	} else {
		text = trimZeros(value.toPrecision(digits));
		if (size >= 1e4) text = grouped(String(Number(text)));
	}
	return text.replaceAll("-", "−");
}

/** Commas between thousands; Intl would take fifty times as long. */
function grouped(text) {
	const point = text.indexOf(".");
	let at = (point < 0 ? text.length : point) - 3;
	let whole = text;
	for (; at > (text[0] === "-" ? 1 : 0); at -= 3) whole = `${whole.slice(0, at)},${whole.slice(at)}`;
	return whole.replace("-", "−");
}

function trimZeros(text) {
	return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Any value of a run for a cell: numbers short, texts cut, the rest as JSON. */
export function shown(value, length = 200) {
	if (value == null) return "";
	const asNumber = typeof value === "boolean" ? null : toNumber(value);
	if (asNumber !== null) return number(asNumber);
	if (typeof value === "object") return cut(JSON.stringify(value), length);
	return cut(String(value), length);
}

/** A value as it is, for a tooltip. */
export function exact(value) {
	if (value == null) return "";
	return cut(typeof value === "object" ? JSON.stringify(value) : String(value), 2000);
}

export function cut(text, length = 200) {
	return text.length > length ? `${text.slice(0, length)}…` : text;
}

export function duration(seconds) {
	if (seconds == null || !Number.isFinite(seconds)) return "";
	const whole = Math.max(0, seconds);
	if (whole === 0) return "0 s";
	if (whole < 0.0995) return `${number(whole * 1000, 2)} ms`;
	if (whole < 59.95) return `${whole < 9.95 ? whole.toFixed(1) : Math.round(whole)} s`;
	const minutes = Math.round(whole / 60);
	if (whole < 3570) return `${Math.floor(whole / 60)} min ${pad(Math.floor(whole % 60))} s`;
	if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
	const hours = Math.round(whole / 3600);
	return `${Math.floor(hours / 24)} d ${pad(hours % 24)} h`;
}

function pad(value) {
	return String(value).padStart(2, "0");
}

/** A moment (seconds since the epoch) in the reader's time zone. */
export function moment(seconds, withSeconds) {
	if (seconds == null) return "";
	const date = new Date(seconds * 1000);
	if (Number.isNaN(date.getTime())) return "";
	const time = `${pad(date.getHours())}:${pad(date.getMinutes())}${withSeconds ? `:${pad(date.getSeconds())}` : ""}`;
	return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${time}`;
}

export function ago(seconds, now) {
	if (seconds == null) return "";
	const passed = now - seconds;
	if (passed < 5) return "just now";
	if (passed < 60) return `${Math.floor(passed)} s ago`;
	if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
	if (passed < 48 * 3600) return `${Math.floor(passed / 3600)} h ago`;
	return `${Math.floor(passed / 86400)} d ago`;
}

export function bytes(size) {
	if (size == null) return "";
	const units = ["B", "kB", "MB", "GB", "TB"];
	let unit = 0;
	let value = size;
	while (value >= 999.5 && unit < units.length - 1) {
		value /= 1000;
		unit += 1;
	}
	return `${unit === 0 || value >= 100 ? Math.round(value) : value.toPrecision(2)} ${units[unit]}`;
}

export function count(many, one, more) {
	return `${number(many)} ${many === 1 ? one : more || `${one}s`}`;
}
