// Reads the Arrow IPC streams that the server writes: float64, int64, and dictionaries of texts.
//
// The layout is that of the Arrow columnar format. Its metadata are FlatBuffers: a table begins with
// the distance back to its vtable, which has for each field its distance from the table, 0 if absent.

const [SCHEMA, DICTIONARY, BATCH] = [1, 2, 3];
const [WHOLE, FLOAT] = [2, 3];

/** A table of FlatBuffers. */
class Fields {
	constructor(view, at) {
		this.view = view;
		this.at = at;
		this.vtable = at - view.getInt32(at, true);
	}

	/** Where a field is; 0 if it is absent. */
	place(number) {
		const slot = 4 + 2 * number;
		const far = slot < this.view.getUint16(this.vtable, true) ? this.view.getUint16(this.vtable + slot, true) : 0;
		return far && this.at + far;
	}

	get(number, method) {
		const at = this.place(number);
		return at && Number(this.view[method](at, true));
	}

	/** Where that begins which a field points to. */
	target(number) {
		const at = this.place(number);
		return at && at + this.view.getInt32(at, true);
	}

	table(number) {
		const at = this.target(number);
		return at ? new Fields(this.view, at) : null;
	}

	/** The places of a vector's elements, each of so many bytes. */
	list(number, size) {
		const at = this.target(number);
		return Array.from({ length: at && this.view.getInt32(at, true) }, (_, index) => at + 4 + index * size);
	}
}

function columnOf(view, place) {
	const field = new Fields(view, place + view.getInt32(place, true));
	const name = field.target(0);
	const encoding = field.table(4);
	const kind = field.get(2, "getUint8");
	if (!encoding && kind !== WHOLE && kind !== FLOAT) throw new Error(`Arrow type ${kind} is not read`);
	return {
		name: new TextDecoder().decode(new Uint8Array(view.buffer, name + 4, view.getInt32(name, true))),
		made: encoding ? Int32Array : kind === FLOAT ? Float64Array : BigInt64Array,
		dictionary: encoding && encoding.get(0, "getBigInt64"), words: null, pieces: [],
	};
}

/** The buffers of a record batch, each as a function of the type of its array. */
function buffersOf(batch, body) {
	if (batch.place(3)) throw new Error("compressed Arrow data are not read");
	const far = (at) => Number(batch.view.getBigInt64(at, true));
	return batch.list(2, 16).map((at) => (kind, length) => new kind(batch.view.buffer, body + far(at), length ?? far(at + 8)));
}

function wordsOf(batch, body) {
	const length = batch.get(0, "getBigInt64");
	const [, ends, letters] = buffersOf(batch, body);
	const [at, text] = [ends(Int32Array, length + 1), letters(Uint8Array)];
	return Array.from({ length }, (_, word) => new TextDecoder().decode(text.subarray(at[word], at[word + 1])));
}

/**
 * Reads a stream, in which nothing is null: { rows, columns }, where columns is a Map name → { values, words }.
 * `values` is a typed array; of a dictionary it has places in `words`, which are texts.
 */
export function readTable(buffer) {
	const view = new DataView(buffer);
	let columns = [];
	let rows = 0;
	for (let at = 0; at + 8 <= buffer.byteLength;) {
		const size = view.getInt32(at + 4, true); // after the mark of a message
		if (!size) break; // the end of the stream
		const message = new Fields(view, at + 8 + view.getInt32(at + 8, true));
		const header = message.table(2);
		const body = at + 8 + size;
		const kind = message.get(1, "getUint8");
		if (kind === SCHEMA) columns = header.list(1, 4).map((place) => columnOf(view, place));
		else if (kind === DICTIONARY) {
			const id = header.get(0, "getBigInt64");
			for (const column of columns) if (column.dictionary === id) column.words = wordsOf(header.table(1), body);
		} else if (kind === BATCH) {
			const length = header.get(0, "getBigInt64");
			const buffers = buffersOf(header, body);
			columns.forEach(({ made, pieces }, number) => {
				const values = buffers[2 * number + 1](made, length);
				pieces.push(made === BigInt64Array ? Float64Array.from(values, Number) : values);
			});
			rows += length;
		}
		at = body + message.get(3, "getBigInt64");
	}
	return { rows, columns: new Map(columns.map(({ name, pieces, words }) => [name, { values: joined(pieces), words }])) };
}

/** Several arrays as one. */
export function joined(pieces) {
	if (pieces.length === 1) return pieces[0];
	const whole = new Float64Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
	let put = 0;
	for (const piece of pieces) {
		whole.set(piece, put);
		put += piece.length;
	}
	return whole;
}
