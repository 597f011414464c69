"""Values of TensorBoard's summaries: what each becomes in a run."""

from __future__ import annotations

import json
import math
import struct
from itertools import accumulate

from expman.formats.damage import DamagedError
from expman.formats.protobuf import Message, decode
from expman.importers.imported_run import ImportedRun
from expman.models import MetricValue, safe_text
from expman.storage.table_bytes import parquet_of

__all__ = ["SummaryValues"]

# Fields of Summary.Value.
_TAG, _SIMPLE, _IMAGE, _HISTOGRAM, _AUDIO, _TENSOR, _METADATA = 1, 2, 4, 5, 6, 8, 9
# Types of tensors.proto, as codes of struct; each with the field that has values one by one.
_CODES = {1: "f", 2: "d", 3: "i", 4: "B", 5: "h", 6: "b", 9: "q", 10: "?", 17: "H", 19: "e"}
_CODES |= {22: "I", 23: "Q"}
_TEXT, _HALF = 7, 19
_CURVE = ("tp", "fp", "tn", "fn", "precision", "recall")
_MOST_NUMBERS = 1_000_000


class _Tensor:
    """A tensor: its shape, and numbers or texts, whichever it has."""

    def __init__(self, message: Message) -> None:
        self.kind = message.uint(1)
        self.shape = [size.signed(1) for size in message.message(2).messages(2)]
        self.texts = message.blobs(8) if self.kind == _TEXT else []
        self.numbers: list[MetricValue] | None = None
        if self.kind != _TEXT:
            self.numbers = _numbers(message, self.kind, self.shape)


class SummaryValues:
    """Takes values into a run.

    Attributes:
        session_status: how the session of hyperparameters ended, as the plugin's number; 0: it
            says nothing.
    """

    def __init__(self, run: ImportedRun) -> None:
        self._run = run
        self._plugins: dict[str, tuple[str, bytes]] = {}
        self.session_status = 0

    def take(self, step: int, time_ns: int, value: Message) -> None:
        """Takes one value, or counts it.

        Raises:
            DamagedError: its bytes are not what they should be.
        """
        tag = value.text(_TAG)
        plugin = self._plugin(tag, value)
        if plugin == "hparams":
            self._take_hparams(value.message(_METADATA).message(1).blob(2))
        elif _SIMPLE in value:
            self._run.rows.add_point(step, time_ns, tag, value.single(_SIMPLE))
        elif _IMAGE in value:
            data = value.message(_IMAGE).blob(4)
            self._run.files.add_image(step, time_ns, tag or "image", data)
        elif _HISTOGRAM in value:
            self._take_histogram(step, time_ns, tag, value.message(_HISTOGRAM))
        elif _AUDIO in value:
            audio = value.message(_AUDIO)
            self._take_audio(step, time_ns, tag, audio.blob(4), audio.text(5))
        elif _TENSOR in value:
            tensor = _Tensor(value.message(_TENSOR))
            if not self._take_tensor(step, time_ns, tag, plugin, tensor):
                self._run.report.leave_out(safe_text(plugin) or "tensor")
        else:
            self._run.report.leave_out(safe_text(plugin) or "nothing")

    def take_scalar(self, step: int, time_ns: int, tag: str, value: float) -> bool:
        """Takes a value of a tag without a plugin; False if the tag has one."""
        if tag in self._plugins:
            return False
        self._run.rows.add_point(step, time_ns, tag, value)
        return True

    def _plugin(self, tag: str, value: Message) -> str:
        """The plugin of a value; only the first value of a tag has to name it."""
        if _METADATA in value:
            data = value.message(_METADATA).message(1)
            if data.blob(1):
                self._plugins[tag] = (data.text(1), data.blob(2))
        return self._plugins.get(tag, ("", b""))[0]

    # -- tensors ------------------------------------------------------------------------

    def _take_tensor(self, step: int, time_ns: int, tag: str, plugin: str, tensor: _Tensor) -> bool:
        run, at = self._run, (step, time_ns)
        match plugin:
            case "text" if tensor.texts:
                run.rows.add_point(*at, tag, _text(tensor.texts, tensor.shape))
            case "images" if len(tensor.texts) > 2:  # width, height, pictures
                for number, data in enumerate(tensor.texts[2:]):
                    name = tag if len(tensor.texts) == 3 else f"{tag}/{number}"
                    run.files.add_image(*at, name, data)
            case "audio" if tensor.texts:
                pairs = len(tensor.shape) == 2 and tensor.shape[1] == 2  # sounds with labels
                sounds = tensor.texts[::2] if pairs else tensor.texts
                for number, data in enumerate(sounds):
                    name = tag if len(sounds) == 1 else f"{tag}/{number}"
                    self._take_audio(*at, name, data, "audio/wav")
            case "histograms" if tensor.numbers is not None:
                if tensor.numbers:
                    return self._take_bins(*at, tag, [float(one) for one in tensor.numbers])
            case "pr_curves" if tensor.numbers and len(tensor.numbers) % 6 == 0:
                self._take_curve(*at, tag, [float(one) for one in tensor.numbers])
            case _:
                if tensor.numbers is None or math.prod(tensor.shape) != 1 or not tensor.numbers:
                    return False
                run.rows.add_point(*at, tag, tensor.numbers[0])
        return True

    def _take_bins(self, step: int, time_ns: int, tag: str, numbers: list[float]) -> bool:
        """A tensor of shape (bins, 3): left edge, right edge, count."""
        if len(numbers) % 3:
            return False
        lefts, rights, counts = numbers[::3], numbers[1::3], numbers[2::3]
        return self._run.tables.add_histogram(step, time_ns, tag, [lefts[0], *rights], counts)

    def _take_histogram(self, step: int, time_ns: int, tag: str, histogram: Message) -> None:
        """The older form: the upper limits of bins, of which the first has no lower one."""
        limits, counts = histogram.doubles(6), histogram.doubles(7)
        low, high = histogram.double(1), histogram.double(2)
        kept = [(limit, count) for limit, count in zip(limits, counts, strict=False)]
        while len(kept) > 1 and not kept[-1][1]:  # TensorFlow's bins reach to 1e308
            kept.pop()
        while len(kept) > 1 and not kept[0][1] and kept[0][0] <= low:
            kept.pop(0)
        edges = [min(max(limit, low), high) for limit, _ in kept]
        edges = list(accumulate([low, *edges], max))
        numbers = [count for _, count in kept]
        if len(limits) != len(counts) or not self._run.tables.add_histogram(
            step, time_ns, safe_text(tag), edges, numbers
        ):
            self._run.report.leave_out("histograms without bins")

    def _take_curve(self, step: int, time_ns: int, tag: str, numbers: list[float]) -> None:
        """A tensor of shape (6, thresholds)."""
        count = len(numbers) // 6
        lists = [numbers[start : start + count] for start in range(0, len(numbers), count)]
        rows = [
            {"threshold": number / max(count - 1, 1), **dict(zip(_CURVE, row, strict=True))}
            for number, row in enumerate(zip(*lists, strict=True))
        ]
        data = parquet_of(tag, rows)
        self._run.files.add_medium("table", step, time_ns, tag, "parquet", data)

    def _take_audio(self, step: int, time_ns: int, tag: str, data: bytes, kind: str) -> None:
        extension = kind.rpartition("/")[2] or "wav"
        if not data:
            self._run.report.leave_out("sounds without data")
            return
        self._run.files.add_medium("audio", step, time_ns, tag, extension, data)

    # -- hyperparameters ----------------------------------------------------------------

    def _take_hparams(self, content: bytes) -> None:
        """A message of the plugin: the start of a session has parameters, the end a status."""
        plugin = decode(content)
        start = plugin.message(3)
        found: dict[str, object] = {}
        for entry in start.messages(1):
            found[safe_text(entry.text(1))] = _param(entry.message(2), 0)
        self._run.facts.params |= dict(sorted(found.items()))
        self._run.facts.group = start.text(4) or self._run.facts.group
        if 4 in plugin:
            self.session_status = plugin.message(4).uint(1)


def _param(value: Message, depth: int) -> object:
    """A google.protobuf.Value."""
    if depth > 50:
        raise DamagedError("a parameter is nested too deep")
    if 2 in value:
        return value.double(2)
    if 3 in value:
        return safe_text(value.text(3))
    if 4 in value:
        return bool(value.uint(4))
    if 5 in value:
        entries = value.message(5).messages(1)
        return {safe_text(one.text(1)): _param(one.message(2), depth + 1) for one in entries}
    if 6 in value:
        return [_param(item, depth + 1) for item in value.message(6).messages(1)]
    return None


def _text(values: list[bytes], shape: list[int]) -> str:
    """One text as it is; several as JSON, nested as in the tensor."""
    texts: list[object] = [value.decode(errors="replace") for value in values]
    if len(texts) == 1:
        return str(texts[0])
    for size in reversed(shape[1:]):
        if size > 0:
            texts = [texts[start : start + size] for start in range(0, len(texts), size)]
    return json.dumps(texts, ensure_ascii=False)


def _numbers(tensor: Message, kind: int, shape: list[int]) -> list[MetricValue] | None:
    """The numbers of a tensor; None if their type is not one of numbers."""
    code = _CODES.get(kind)
    if code is None:
        return None
    content = tensor.blob(4)
    if content:
        size = struct.calcsize(code)
        if len(content) % size:
            raise DamagedError(f"a tensor has {len(content)} bytes, not a multiple of {size}")
        return list(struct.unpack(f"<{len(content) // size}{code}", content))
    found: list[MetricValue]
    if kind == 1:
        found = list(tensor.floats(5))
    elif kind == 2:
        found = list(tensor.doubles(6))
    elif kind == 9:
        found = list(tensor.ints(10))
    elif kind == 10:
        found = [bool(value) for value in tensor.uints(11)]
    elif kind == _HALF:
        bits = struct.pack(f"<{len(tensor.uints(13))}H", *(v & 0xFFFF for v in tensor.uints(13)))
        found = list(struct.unpack(f"<{len(bits) // 2}e", bits))
    elif kind in (22, 23):
        found = list(tensor.uints(16 if kind == 22 else 17))
    else:
        found = list(tensor.ints(7))
    count = math.prod(shape)
    if len(found) == 1 and 1 < count <= _MOST_NUMBERS:  # one value stands for all
        found *= count
    return found
