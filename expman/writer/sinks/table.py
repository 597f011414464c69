"""Table of sinks and their records: a new kind of record needs a line here only."""

from __future__ import annotations

from expman.transport import records as wire
from expman.transport.bulk_decode import Rows
from expman.writer.samplers.samples import MachineSample, ProvenanceSample
from expman.writer.sinks.artifacts import ArtifactSink
from expman.writer.sinks.console import ConsoleSink
from expman.writer.sinks.histograms import HistogramSink
from expman.writer.sinks.marks import MarkSink
from expman.writer.sinks.media import MediaSink
from expman.writer.sinks.messages import MessageSink
from expman.writer.sinks.metadata import MetadataSink
from expman.writer.sinks.params import ParamSink
from expman.writer.sinks.provenance import ProvenanceSink
from expman.writer.sinks.ranks import RankSink
from expman.writer.sinks.rows import RowSink
from expman.writer.sinks.sink import Sink
from expman.writer.sinks.system import SystemSink
from expman.writer.sinks.unknown import UnknownSink

__all__ = ["SINKS"]

SINKS: dict[type[Sink], tuple[type, ...]] = {
    RowSink: (wire.Vector, Rows, wire.Schema, wire.Drop),
    HistogramSink: (wire.Histogram,),
    MediaSink: (wire.Media,),
    ArtifactSink: (wire.Artifact,),
    ParamSink: (wire.Params,),
    SystemSink: (MachineSample,),
    ProvenanceSink: (ProvenanceSample,),
    RankSink: (),
    UnknownSink: (wire.Unknown,),
    ConsoleSink: (wire.Console,),
    # The ones before may add lines to run.log and change the metadata.
    MessageSink: (wire.Log,),
    MetadataSink: (wire.Scalar, wire.Annotation),
    MarkSink: (wire.Flush, wire.Sentinel),
}
"""Each sink with the types of records that it takes, in the order in which they are committed."""
