"""The result record: its columns, its schema version, and how its files are read."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from bench.results.arrow_arrays import arrow_array
from bench.results.checks import prediction_fault, record_fault
from bench.utils.errors import BenchError, one_line
from bench.utils.texts import require_regular
from bench.utils.version import SCHEMA, __version__

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS: dict[str, tuple[str, str]] = {
    "schema": ("int", "version of this table's meaning"),
    "run": ("string", "the run's identity: a hash of its settings and code"),
    "cell": ("string", "the cell's identity: a hash of everything that shaped it"),
    "status": ("string", "`ok`, `skipped` or `failed`"),
    "reason": ("string", "why a cell was skipped, or what its method raised; null otherwise"),
    "error_type": ("string", "the class of the exception that made a cell fail; null otherwise"),
    "traceback": ("string", "where it was raised; null otherwise"),
    "method": ("string", "the method's label: its name, with parameters where a run has it more than once"),
    "method_name": ("string", "the registered name"),
    "method_params": ("string", "JSON: every parameter of the method"),
    "fidelity": ("string", "`faithful` or `adapted`"),
    "selection": ("string", "where hyperparameters are chosen: none, support-heldout, validation, oracle"),
    "sees": (
        "string",
        "what the method looks at when it answers a query: `query` that query alone, `stream` those before it too, "
        "`set` all queries of the session",
    ),
    "experiment": ("string", "the table or figure of a paper that was run by name; null otherwise"),
    "scenario": ("string", "the scenario's name"),
    "scenario_params": ("string", "JSON: every parameter of the scenario"),
    "dataset": ("string", "the data set's name"),
    "encoder": ("string", "the encoder that made its features"),
    "encoder_flops": ("int", "FLOPs of the encoder on one image (a multiply-add is two); null if not known"),
    "condition": ("string", "JSON: what the scenario varies"),
    "precision": ("string", "what trainings computed their loss in, where there were any: `fp32` or `bf16`"),
    "deterministic": (
        "bool",
        "whether all operations ran by kernels that answer alike from run to run; false where a method has one that "
        "the GPU has no such kernel for",
    ),
    "session": ("int", "0, 1, ... in class-incremental learning; 0 elsewhere; null if skipped or failed"),
    "seed": ("int", "the seed"),
    "classes": ("list<int>", "class ids in column order"),
    "class_total": ("list<int>", "queries of each class"),
    "class_correct": ("list<int>", "correctly answered queries of each class"),
    "n_queries": ("int", "queries"),
    "n_correct": ("int", "correctly answered queries"),
    "n_near_duplicates": (
        "int",
        "queries with a near-duplicate (cosine 0.97, or what the data set declares) among the images dealt so far",
    ),
    "n_near_duplicates_correct": ("int", "how many of those were answered correctly"),
    "session_kind": (
        "string",
        "`built`, `extended`, `rebuilt` (from exemplars or an edited memory), `forgotten`",
    ),
    "branches": ("string", "modalities with items in the task: image+text, image, text, none"),
    "details": (
        "string",
        "JSON: what the method reports of its state (what was chosen, k used), how exact an edit was",
    ),
    "notes": ("string", "JSON: what the scenario reports of the session"),
    "query_items": (
        "string",
        "hash of the ids of the session's queries, whatever the encoder: sessions of equal `items`, scenario, "
        "condition and seed can be paired across encoders and names of a data set, query by query",
    ),
    "labels_seen": (
        "int",
        "labelled images of the target classes that the method has learned from so far, or could choose its exemplars "
        "from: support, images that stand in for a memory, images it chose on; a memory found by keyword has none",
    ),
    "configurations": (
        "int",
        "configurations that were tried: those of `--tune`, times those that the method tries and reports itself",
    ),
    "selected_on": (
        "string",
        "what they were compared on: `support`, `validation-split`, `validation-classes`; `none` where there was "
        "nothing to choose, `none: REASON` for stated settings where the data could give nothing to choose on, "
        "`support: REASON` where they could not give what `--selection` asks for",
    ),
    "temperature": (
        "float",
        "temperature of the confidences, fitted on labelled images that the state did not see; null if none could be, "
        "and confidences are then softmax at the method's own scale and no probabilities",
    ),
    "temperature_from": (
        "string",
        "`held-out support`; `images held out of training`, on which the method may have chosen an epoch too; "
        "`validation split`, `validation images`, `validation classes`, or `none: REASON`",
    ),
    "set_threshold": (
        "float",
        "least probability of a class in the set of a query, meant to hold the right class for 90 % of queries like "
        "the images of `temperature_from`; null for fewer than nine of those, and where they are of other classes",
    ),
    "measures": (
        "string",
        "JSON: what the scenario measures beside accuracy, by name a value and the limits of its 95 % interval over "
        "resampled queries; null where it measures nothing else",
    ),
    "missing_parts": ("string", "what the method ran without: `class texts`, `text branch`; null if nothing"),
    "support_items": ("int", "labelled images dealt in the session"),
    "memory_items": ("int", "memory items dealt in the session"),
    "exemplars": ("int", "items that the harness keeps for the next session; null for a method that needs none"),
    "state_bytes": ("int", "bytes of the state's tensors"),
    "memory_bytes": ("int", "of those, items that are searched for answers"),
    "exemplar_bytes": ("int", "labelled features kept to train on again, including those that the harness keeps"),
    "statistics_bytes": ("int", "class means, moments, prototypes, class texts"),
    "weights_bytes": ("int", "linear classifiers, attention blocks, adapters, random projections"),
    "state_unknown_bytes": ("int", "bytes that the method does not declare as any of these"),
    "train_seconds": ("float", "training on seen classes (in session 0 only), searches for it included"),
    "build_seconds": ("float", "building or extending the state, searches for it included"),
    "retrieve_seconds": ("float", "search for the queries; a shared search is charged to every method that uses it"),
    "score_seconds": ("float", "scoring the queries, retrieval not counted"),
    "processor_seconds": ("float", "processor time of all that, of all threads; above the seconds where several ran"),
    "answer_1_ms": ("float", "milliseconds of one answer, search included and the encoder apart: the median"),
    "answer_1_p95_ms": ("float", "the same: the 95th percentile"),
    "answer_256_ms": ("float", "milliseconds of 256 answers at a time: the median"),
    "answer_256_p95_ms": ("float", "the same: the 95th percentile"),
    "answers_per_second": ("float", "256 over the median of 256 at a time; these six are null without `--latency`"),
    "answer_details": ("string", "JSON: repetitions of each, warm-up calls, and processes a core on the machine"),
    "tune_seconds": ("float", "choosing among the configurations of `--tune`; in no other seconds"),
    "calibrate_seconds": ("float", "fitting the temperature, extra builds included; in no other seconds"),
    "train_flops": (
        "int",
        "FLOPs of training, searches for it included; null if an operation of unknown FLOPs ran",
    ),
    "build_flops": ("int", "FLOPs of building or extending the state, searches for it included"),
    "retrieve_flops": ("int", "FLOPs of search for the queries, by formula; a shared search is charged to every user"),
    "score_flops": ("int", "FLOPs of scoring the queries, retrieval not counted"),
    "elementwise_flops": ("int", "of all those, elementwise operations, reductions and comparisons"),
    "formula_flops": ("int", "of all those, what was computed by a formula and not counted"),
    "train_peak_bytes": (
        "int",
        "most resident memory of the process during training; null if not reported",
    ),
    "build_peak_bytes": ("int", "the same while building or extending"),
    "retrieve_peak_bytes": ("int", "the same while retrieving; null if another method had searched before"),
    "score_peak_bytes": ("int", "the same while scoring"),
    "train_peak_gpu_bytes": (
        "int",
        "most memory that torch's allocator gave out on the GPU during training; else null",
    ),
    "build_peak_gpu_bytes": ("int", "the same while building or extending"),
    "retrieve_peak_gpu_bytes": ("int", "the same while retrieving; null if another method had searched before"),
    "score_peak_gpu_bytes": ("int", "the same while scoring"),
    "gpu_joules": ("float", "energy the GPU used in all phases, as its driver reports it; else null"),
    "search": (
        "string",
        "what answered the session's searches: an engine with every parameter, or the product of an exact search "
        "(`exact-int8`, `exact-int7`, `exact-bf16`, `exact-prefix`, `exact-fp32`; several are joined by `+`); null if "
        "nothing was searched",
    ),
    "search_recall": (
        "float",
        "the lowest recall@k of the approximate searches for the session's queries, against exact search of a sample "
        "of them; null where search is exact",
    ),
    "search_details": ("string", "JSON: items, k, recall, sample and index bytes of each of those searches"),
    "index_seconds": ("float", "making or opening the indexes of those searches; not part of any other seconds"),
    "items": (
        "string",
        "hash of the data set's item ids and class names: the same images in any encoder's space have the same",
    ),
    "features_fingerprint": ("string", "hash of the whole data set"),
    "support_fingerprint": ("string", "hash of the session's support"),
    "memory_fingerprint": ("string", "hash of the session's memory"),
    "queries_fingerprint": ("string", "hash of the session's queries; sessions with equal ones can be paired"),
    "provenance": ("string", "JSON: git commit and dirty flag, versions, machine, arguments"),
}
"""Every column of the records with its type and meaning; the documentation's table is made from it."""

PREDICTION_COLUMNS: dict[str, tuple[str, str]] = {
    "cell": ("string", "the cell"),
    "session": ("int", "the session"),
    "query": ("string", "id of the query"),
    "label": ("int", "its class id"),
    "prediction": ("int", "the class id with the largest score; ties go to the first column"),
    "rank": ("int", "how many classes score above the correct one, so rank < 5 is a top-5 hit"),
    "confidence": (
        "float",
        "softmax probability of the prediction: of scores over the record's `temperature`, or at the method's own "
        "scale where that is null",
    ),
    "set_size": (
        "int",
        "how many of the likeliest classes are in the query's set (the right one is in it if rank < set_size); null "
        "where the record has no `set_threshold`",
    ),
    "near_duplicate": ("bool", "whether the query has a near-duplicate among what was dealt so far"),
    "cluster": (
        "string",
        "the same for queries of the data set that are near-duplicates of one another (cosine 0.97, or what it "
        "declares), directly or through others; null for a query without one",
    ),
}
"""Every column of the predictions, one row a query."""

UNSTABLE = (
    *(name for name in COLUMNS if name.endswith(("_seconds", "_ms", "_peak_bytes", "_peak_gpu_bytes"))),
    "answers_per_second",
    "answer_details",
    "gpu_joules",
    "search",
    "traceback",
    "provenance",
)
"""Columns that can differ between runs with identical settings: times, peaks, machine."""

_MANY = 1000
"""Rows from which a file is worth the better compression, and threads that read it."""
_MOST = 1 << 30
"""Rows of a file beyond which its own words are not believed."""
_DISTINCT = frozenset({"query", "confidence"})
"""Columns whose values hardly repeat."""
_SCHEMA_KEY = "retrieval_bench_schema"
_ARROW = {"int": "int64", "float": "float64", "string": "string", "bool": "bool"}


def to_parquet(values: Mapping[str, Sequence[Any]], columns: Mapping[str, tuple[str, str]]) -> bytes:
    """Return columns of values as the bytes of a Parquet file with the given names and types; absent ones are null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = _types()
    schema = pa.schema(
        [(name, kinds[kind]) for name, (kind, _) in columns.items()],
        metadata={_SCHEMA_KEY: str(SCHEMA)},
    )
    rows = len(next(iter(values.values())))
    arrays = [
        arrow_array(values[field.name], field.type) if field.name in values else pa.nulls(rows, field.type)
        for field in schema
    ]
    sink = io.BytesIO()
    # zstd is set up anew for each column, which takes longer than writing a few rows; those gain a tenth from it.
    compression = "zstd" if rows >= _MANY else "snappy"
    # Each value of a column once, where values repeat. Nobody asks a cell's file for the rows between two values.
    repeated = True if _DISTINCT.isdisjoint(columns) else [name for name in columns if name not in _DISTINCT]
    table = pa.Table.from_arrays(arrays, schema=schema)
    pq.write_table(
        table, sink, compression=compression, use_dictionary=repeated, write_statistics=False, write_page_checksum=True
    )
    return sink.getvalue()


def require_schema(number: int, folder: Path) -> None:
    """Raise :class:`BenchError` unless a schema is the present one."""
    if number > SCHEMA:
        raise BenchError(
            f"{folder} was written by a newer version (schema {number}, this is {__version__} with schema {SCHEMA}); "
            "update with `pip install -U retrieval-bench`"
        )
    if number < SCHEMA:
        raise BenchError(f"{folder} has schema {number}, which {__version__} cannot read; delete it and run again")


def read_tables(paths: Sequence[Path | IO[bytes]], without: Collection[str] = ()) -> list[pa.Table]:
    """Return the tables of some Parquet files without some columns; a damaged one raises :class:`BenchError`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for path in paths:
        try:
            if isinstance(path, Path):
                require_regular(path)
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                rows = file.metadata.num_rows
                if rows > _MOST:
                    raise BenchError(f"{path} says it has {rows} rows, which no cell has; delete it and run again")
                names = [name for name in file.schema_arrow.names if name not in without]
                # To hand the columns of a few rows to threads takes longer than to read them.
                table = file.read(names, use_threads=rows >= _MANY)
            table.validate(full=True)
        except (OSError, ValueError, TypeError, KeyError, MemoryError, OverflowError, pa.ArrowException) as error:
            raise BenchError(f"{path} cannot be read ({one_line(error)}); delete it and run again") from None
        tables.append(table)
    return tables


def combined(
    tables: Sequence[pa.Table],
    columns: Mapping[str, tuple[str, str]],
    part: Literal["records", "predictions"],
    folder: Path,
) -> pa.Table:
    """Return tables as one with every column of the present schema; what a table lacks is null.

    Raises
    ------
    BenchError
        If a table is of another schema.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        for table in tables:
            said = "schema" in table.column_names
            for number in pc.unique(table["schema"]).to_pylist() if said else [_schema_of(table.schema)]:
                require_schema(int(number), folder)
            # Nothing in a file vouches for the names of its columns.
            others = set(table.column_names).difference(COLUMNS if part == "records" else PREDICTION_COLUMNS)
            if others and not set(columns).issubset(table.column_names):
                raise KeyError(f"a column {min(others)} in the place of another")
        joined = pa.concat_tables(tables, promote_options="permissive")
    except (ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise BenchError(f"the {part} in {folder} are damaged ({one_line(error)}); delete them and run again") from None
    found = exact(joined, columns, part, folder)
    fault = record_fault(found) if part == "records" else prediction_fault(found)
    if fault:
        raise BenchError(f"the {part} in {folder} {fault}; delete the damaged ones and run again")
    return found


def exact(
    table: pa.Table,
    columns: Mapping[str, tuple[str, str]],
    part: Literal["records", "predictions"],
    folder: Path,
) -> pa.Table:
    """Return a table of the present schema with every column of it in its own type; what it lacks is null."""
    import pyarrow as pa

    kinds = _types()
    for name, (kind, _) in columns.items():
        at = table.schema.get_field_index(name)
        if table.column_names.count(name) > 1:
            raise BenchError(f"the {part} in {folder} have the column {name} twice; delete the damaged ones, run again")
        if at < 0:
            table = table.append_column(name, pa.nulls(len(table), kinds[kind]))
        elif table.schema.field(at).type != kinds[kind]:
            # A table that was rewritten by another program can hold the same values as another type.
            try:
                table = table.set_column(at, name, table.column(at).cast(kinds[kind]))
            except pa.ArrowException as error:
                raise BenchError(
                    f"the {part} in {folder} have no {kind} as {name} ({one_line(error)}); run again"
                ) from None
    return table


def _schema_of(schema: pa.Schema) -> int:
    """Return the schema in a table's metadata; a table without it was rewritten, and is taken for a present one."""
    return int((schema.metadata or {}).get(_SCHEMA_KEY.encode(), SCHEMA))


def _types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {"list<int>": pa.list_(pa.int64()), **{k: pa.type_for_alias(v) for k, v in _ARROW.items()}}
