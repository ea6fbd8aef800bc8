"""A cluster as `kubectl get … -o json` printed it: files, folders of files, or standard input."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from deploy.planfiles.documents import STDIN, PlanFileError, json_documents
from shared.kernel.kubernetes import KubernetesObjectError, parse_objects
from shared.kernel.workload import ClusterObjects


def read_cluster(paths: Iterable[Path]) -> ClusterObjects:
    """Give what all files together say.

    Raises:
        PlanFileError: a file is broken, or holds something that is no Kubernetes object.
    """
    found: list[dict[str, Any]] = []
    for path in paths:
        for file in _files(path):
            objects = list(_objects(file))
            try:
                parse_objects(objects)
            except KubernetesObjectError as error:
                raise PlanFileError(f"{file}: {str(error).rstrip('.')}.") from error
            found += objects
    return parse_objects(found)


def _files(path: Path) -> list[Path]:
    if str(path) == STDIN or not path.is_dir():
        return [path]
    files = sorted(f for f in path.rglob("*") if f.name.endswith((".json", ".json.gz")))
    if not files:
        raise PlanFileError(f"{path} is a folder without any .json file.")
    return files


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    for document in json_documents(path):
        items = document if isinstance(document, list) else [document]
        for item in items:
            if not isinstance(item, dict):
                raise PlanFileError(f"{path}: this is no Kubernetes object, but {str(item)[:40]!r}.")
            yield item
