"""Mean quality of explanations: recall and precision of neighbours, similarity to right and wrong prototypes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from bench.core.protocols import Explains
from bench.core.task import Session, Task
from bench.learning.holdout import digest_order

KINDS = ("recall", "precision", "right", "wrong")


def evidence_means(method: Explains, state: Any, task: Task, session: Session) -> dict[str, Any]:
    """Return means over the first ``session.evidence`` queries by the hash of their ids, so the same for all methods.

    Parameters
    ----------
    task : Task
        What the state was built on, as the method was given it.

    Returns
    -------
    dict
        ``queries``: how many. By branch, as far as the method has it: ``recall`` the share of queries with any
        neighbour of their class (recall@k in Kang et al., TMLR 2025, table 7, where k is the method's own),
        ``precision`` the share of neighbours that are of the query's class, ``right`` the cosine of the query, as the
        method embeds it, to its own class's prototype, and ``wrong`` the mean cosine to the prototypes of the other
        classes (table 21).
    """
    rows = digest_order(session.queries.ids)[: session.evidence].tolist()
    columns = session.task.columns(session.queries.labels[rows]).tolist()
    found: dict[str, dict[str, list[float]]] = {kind: defaultdict(list) for kind in KINDS}
    for row, column in zip(rows, columns, strict=True):
        told = method.explain(state, task, session.queries.x[row].float().clone())
        label = session.task.classes[column]
        for branch in sorted({n.branch for n in told.neighbours}):
            hits = [n.label == label for n in told.neighbours if n.branch == branch]
            found["recall"][branch].append(float(any(hits)))
            found["precision"][branch].append(sum(hits) / len(hits))
        for branch, cosines in told.prototypes.items():
            own = float(cosines[column])
            found["right"][branch].append(own)
            found["wrong"][branch].append((float(cosines.sum()) - own) / (len(cosines) - 1))
    means = {kind: {b: sum(v) / len(v) for b, v in branches.items()} for kind, branches in found.items()}
    return {"queries": len(rows), **{kind: branches for kind, branches in means.items() if branches}}
